#pragma once

#include <functional>
#include <memory>
#include <string>

#include "agent/http/message.h"
#include "agent/http/websocket.h"
#include "init/io/stream.h"

namespace steppe::http {

// Where requests go: "http://127.0.0.1:4646" or "unix:///run/steppe.sock". Host names are resolved
// by the caller.
struct Target {
  io::Address address;
  std::string host;  // value of the Host header
};

// Gives the body in pieces as they arrive; an error ends the exchange.
using BodySink = std::function<io::Task<Result<>>(std::string_view piece)>;

// One HTTP/1.1 request on a connection of its own. Not for servers' hot paths.
class Client {
 public:
  Client(io::Network& network, Rng& rng, Target target, MessageLimits limits = {})
      : network_(network), rng_(rng), target_(std::move(target)), limits_(limits) {}

  // `request.path` and `request.query` as on the wire. Any status is a success.
  io::Task<Result<Response>> call(Request request, io::Deadline deadline);
  // As call(), but a body of status 200 goes to `sink`; other bodies are returned.
  io::Task<Result<Response>> stream(Request request, BodySink sink, io::Deadline deadline);
  // A refusal comes back as kInvalid with the answer's body as its text.
  io::Task<Result<std::unique_ptr<WebSocket>>> websocket(Request request, io::Deadline deadline);

 private:
  io::Task<Result<std::unique_ptr<io::Stream>>> send(const Request& request, io::Deadline deadline);

  io::Network& network_;
  Rng& rng_;
  const Target target_;
  const MessageLimits limits_;
};

}  // namespace steppe::http
