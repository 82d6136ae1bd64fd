#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/http/message.h"
#include "agent/http/websocket.h"
#include "init/base/log.h"
#include "init/base/rng.h"
#include "init/io/scope.h"
#include "init/io/stream.h"

namespace steppe::http {

// How a handler answers: one of send(), start()+write()...+finish(), or upgrade(). Once.
class ResponseWriter {
 public:
  virtual ~ResponseWriter() = default;
  virtual io::Task<Result<>> send(Response response) = 0;
  // A body of unknown length, chunked for HTTP/1.1.
  virtual io::Task<Result<>> start(int status, Headers headers) = 0;
  virtual io::Task<Result<>> write(std::string_view bytes) = 0;
  virtual io::Task<Result<>> finish() = 0;
  // Answers a WebSocket handshake; kInvalid when the request is none (the handler then sends an error).
  virtual io::Task<Result<std::unique_ptr<WebSocket>>> upgrade() = 0;
  virtual bool answered() const = 0;
  // Requested when the server stops. A handler that waits observes it.
  virtual std::stop_token stop() const = 0;
};

using Handler = std::function<io::Task<void>(Request& request, ResponseWriter& writer)>;

struct ServerOptions {
  MessageLimits limits;
  size_t connections = 4096;           // beyond: the oldest listener backlog waits
  Bytes bodies = Bytes::mib(64);       // of all requests that are being read or answered; beyond: 429
  size_t connections_per_address = 100;  // beyond: raw 429; 0 is no limit; Unix sockets have none
  Duration idle = std::chrono::minutes(2);          // between requests
  Duration header_deadline = std::chrono::seconds(10);
  Duration body_deadline = std::chrono::minutes(2);
  Duration write_deadline = std::chrono::seconds(40);
  Headers extra_headers;               // set on every response
  // Values of Host (without port) that are answered beside IP literals and localhost: an attacker's
  // page must not reach the API by rebinding its name. Empty list: any IP literal and localhost.
  std::vector<std::string> host_names;
  bool check_origin = true;            // requests of foreign web pages are refused (403)
};

// Serves HTTP/1.1 on listeners. All on one loop. Every connection lives in the server's scope.
class Server {
 public:
  Server(io::Loop& loop, Rng& rng, log::Logger logger, ServerOptions options, Handler handler);
  ~Server();

  // Accepts until stop(). `listener` is owned from now on.
  void serve(std::unique_ptr<io::Listener> listener);
  // No new connections, waits for handlers to finish after asking them to stop.
  io::Task<void> stop();

  size_t connections() const { return connections_; }

 private:
  class Connection;
  io::Task<void> accept_all(std::unique_ptr<io::Listener> listener);
  io::Task<void> run_connection(std::unique_ptr<io::Stream> stream);
  io::Task<void> refuse(std::unique_ptr<io::Stream> stream);
  bool admit(const std::string& address);
  void release(const std::string& address);

  io::Loop& loop_;
  Rng& rng_;
  log::Logger logger_;
  const ServerOptions options_;
  const Handler handler_;
  io::Scope scope_;
  io::Event slot_free_;
  size_t connections_ = 0;
  uint64_t held_ = 0;  // bytes of requests that are not answered yet
  std::map<std::string, size_t> per_address_;
};

// True when the Host header (and Origin, when it is there) may be served. For tests.
bool host_allowed(std::string_view host, const std::vector<std::string>& names);
bool origin_allowed(std::string_view origin, std::string_view host);

// RFC 9110 gzip of a body; used by the router for large answers.
std::string gzip(std::string_view body);

}  // namespace steppe::http
