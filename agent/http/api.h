#pragma once

#include <string>

#include "agent/endpoint/caller.h"
#include "agent/endpoint/route.h"
#include "agent/http/message.h"
#include "agent/http/server.h"
#include "init/base/log.h"

namespace steppe::http {

// Nomad's HTTP API over the endpoint table: finds the route, fills the method's request from path, query and body, calls
// it, and shows the reply. Knows no endpoint by name. Loop thread of the HTTP server.
class Api {
 public:
  // `caller` and `loop` outlive it. `region` is what an empty ?region= means; another one cannot be reached yet.
  Api(endpoint::Caller& caller, io::Loop& loop, log::Logger logger, std::string region)
      : caller_(caller), loop_(loop), logger_(std::move(logger)), region_(std::move(region)) {}

  // Answers one request; never fails: what goes wrong is the answer.
  io::Task<void> handle(Request& request, ResponseWriter& writer);

 private:
  struct Exchange;

  io::Task<Response> answer(Exchange& exchange);
  io::Task<void> answer_stream(Exchange& exchange, ResponseWriter& writer);
  io::Task<void> answer_websocket(Exchange& exchange, ResponseWriter& writer);
  endpoint::CallContext context(const Exchange& exchange, std::stop_token stop) const;

  endpoint::Caller& caller_;
  io::Loop& loop_;
  log::Logger logger_;
  const std::string region_;
};

// Fills a method's request from what came over HTTP. Exposed for tests.
endpoint::Outcome<std::unique_ptr<endpoint::Message>> build_request(const endpoint::RouteMatch& match, const Request& request);

}  // namespace steppe::http
