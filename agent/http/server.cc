#include "agent/http/server.h"

#include <zlib.h>

#include <format>

#include "agent/http/parser.h"
#include "init/base/assert.h"
#include "init/base/text.h"

namespace steppe::http {

namespace {

constexpr size_t kWebSocketKey = 24;  // base64 of 16 bytes, RFC 6455

std::string http_date(WallTime time) {
  const std::chrono::sys_seconds at{std::chrono::seconds(time.unix_ns / 1'000'000'000)};
  return std::format("{:%a, %d %b %Y %T} GMT", at);
}

std::string_view host_without_port(std::string_view host) {
  if (host.starts_with('[')) return host.substr(0, host.find(']') + 1);
  const size_t colon = host.rfind(':');
  return host.substr(0, colon);
}

bool ip_literal(std::string_view host) {
  if (host.starts_with('[')) return true;
  return !host.empty() && host.find_first_not_of("0123456789.") == std::string_view::npos;
}

}  // namespace

bool host_allowed(std::string_view host, const std::vector<std::string>& names) {
  const std::string_view name = host_without_port(host);
  if (name.empty() || ip_literal(name) || equals_ignoring_case(name, "localhost")) return true;
  for (const std::string& allowed : names) {
    if (equals_ignoring_case(name, allowed)) return true;
  }
  return false;
}

bool origin_allowed(std::string_view origin, std::string_view host) {
  if (origin.empty()) return true;
  const size_t scheme = origin.find("://");
  return scheme != std::string_view::npos && equals_ignoring_case(origin.substr(scheme + 3), host);
}

std::string gzip(std::string_view body) {
  z_stream stream{};
  static constexpr int kGzipWindow = 15 + 16;
  STEPPE_ASSERT(deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, kGzipWindow, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string out(deflateBound(&stream, body.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(body.data()));
  stream.avail_in = static_cast<uInt>(body.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  STEPPE_ASSERT(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

// One connection: reads a request, lets the handler answer, again.
class Server::Connection final : public ResponseWriter {
 public:
  Connection(Server& server, std::unique_ptr<io::Stream> stream) : server_(server), stream_(std::move(stream)) {}
  ~Connection() override { let_go(); }

  io::Task<void> run() {
    while (!stop().stop_requested()) {
      let_go();
      Result<Request> request = co_await read_request();
      if (!request.ok()) {
        co_await answer_broken(request.error());
        co_return;
      }
      answered_ = finished_ = false;
      request_ = std::move(*request);
      if (Response refusal = check(); refusal.status != 200) {
        keep_alive_ = false;
        static_cast<void>(co_await send(std::move(refusal)));
        co_return;
      }
      co_await server_.handler_(request_, *this);
      if (!stream_) co_return;  // upgraded
      STEPPE_ASSERT(answered_);
      if (!keep_alive_ || !finished_) co_return;
    }
  }

  io::Task<Result<>> send(Response response) override {
    STEPPE_ASSERT(!answered_);
    answered_ = true;
    std::string head = start_line(response.status, response.headers);
    const bool bodiless = response.status == 204 || response.status == 304;
    if (!bodiless) head.append(std::format("Content-Length: {}\r\n", response.body.size()));
    head.append("\r\n");
    if (request_.method != "HEAD" && !bodiless) head.append(response.body);
    Result<> sent = co_await stream_->write(as_bytes(head), write_deadline());
    finished_ = sent.ok();
    co_return sent;
  }

  io::Task<Result<>> start(int status, Headers headers) override {
    STEPPE_ASSERT(!answered_);
    answered_ = true;
    std::string head = start_line(status, headers);
    head.append("Transfer-Encoding: chunked\r\n\r\n");
    co_return co_await stream_->write(as_bytes(head), write_deadline());
  }

  io::Task<Result<>> write(std::string_view bytes) override {
    if (bytes.empty()) co_return Result<>();
    std::string chunk = std::format("{:x}\r\n", bytes.size());
    chunk.append(bytes).append("\r\n");
    co_return co_await stream_->write(as_bytes(chunk), write_deadline());
  }

  io::Task<Result<>> finish() override {
    Result<> sent = co_await stream_->write(as_bytes("0\r\n\r\n"), write_deadline());
    finished_ = sent.ok();
    co_return sent;
  }

  io::Task<Result<std::unique_ptr<WebSocket>>> upgrade() override {
    const std::string* upgrade = find_header(request_.headers, "Upgrade");
    const std::string* key = find_header(request_.headers, "Sec-WebSocket-Key");
    const std::string* version = find_header(request_.headers, "Sec-WebSocket-Version");
    if (request_.method != "GET" || !upgrade || lower(*upgrade).find("websocket") == std::string::npos || !key || key->size() != kWebSocketKey || !version || *version != "13") {
      co_return Error(Code::kInvalid, "websocket: the client is not using the websocket protocol");
    }
    answered_ = true;
    const std::string head = std::format(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n\r\n", websocket_accept_key(*key));
    STEPPE_CO_TRY_VOID(co_await stream_->write(as_bytes(head), write_deadline()));
    co_return std::make_unique<WebSocket>(std::move(stream_), WebSocket::Side::kServer, server_.rng_, Bytes::mib(1), std::exchange(buffer_, {}));
  }

  bool answered() const override { return answered_; }
  std::stop_token stop() const override { return server_.scope_.token(); }

 private:
  io::Deadline deadline(Duration duration) const { return io::Deadline::in(server_.loop_, duration, stop()); }
  // A stopping server still finishes its answers.
  io::Deadline write_deadline() const { return io::Deadline::in(server_.loop_, server_.options_.write_deadline); }

  io::Task<Result<Request>> read_request() {
    RequestParser parser(server_.options_.limits);
    bool continued = false;
    std::string bytes(16 << 10, '\0');
    io::Deadline until = deadline(server_.options_.idle);
    while (true) {
      STEPPE_CO_TRY(const size_t used, parser.feed(buffer_));
      buffer_.erase(0, used);
      if (parser.done()) break;
      if (parser.header_done() && !continued) {
        continued = true;
        until = deadline(server_.options_.body_deadline);
        if (parser.expects_continue()) STEPPE_CO_TRY_VOID(co_await stream_->write(as_bytes("HTTP/1.1 100 Continue\r\n\r\n"), write_deadline()));
      }
      STEPPE_CO_TRY(const size_t count, co_await stream_->read(std::as_writable_bytes(std::span(bytes)), until));
      if (count == 0) {
        if (!parser.started() && buffer_.empty()) co_return Error(Code::kCancelled, "end of connection");
        co_return Error(Code::kIo, "connection cut inside a request");
      }
      if (!parser.started() && buffer_.empty()) until = deadline(server_.options_.header_deadline);
      buffer_.append(bytes, 0, count);
      hold(count);
      if (server_.held_ > server_.options_.bodies.count) co_return Error(Code::kUnavailable, "too many bytes of requests at once: try again later");
    }
    STEPPE_CO_TRY(Request request, parser.take());
    request.remote = stream_->peer().text();
    keep_alive_ = request.keep_alive;
    co_return request;
  }

  // What this connection's request takes of the memory that all of them share.
  void hold(size_t count) {
    held_ += count;
    server_.held_ += count;
  }
  void let_go() { server_.held_ -= std::exchange(held_, 0); }

  // What arrived is not a request that we serve: say so if anybody may still listen.
  io::Task<void> answer_broken(const Error& error) {
    int status = 0;
    if (error.code() == Code::kExhausted) status = error.message().find("header") != std::string::npos ? 431 : 413;
    if (error.code() == Code::kInvalid) status = 400;
    if (error.code() == Code::kUnavailable) status = 429;
    if (status == 0) co_return;
    keep_alive_ = false;
    answered_ = false;
    request_.method = "GET";
    static_cast<void>(co_await send(Response::text(status, error.message())));
    static_cast<void>(stream_->shutdown_write());
    co_await drain();
  }

  // Closing with unread bytes would reset the connection and lose our answer.
  io::Task<void> drain() {
    std::string sink(16 << 10, '\0');
    const io::Deadline until = deadline(std::chrono::seconds(1));
    for (int i = 0; i < 1024; ++i) {
      Result<size_t> count = co_await stream_->read(std::as_writable_bytes(std::span(sink)), until);
      if (!count.ok() || *count == 0) co_return;
    }
  }

  Response check() const {
    const std::string* host = find_header(request_.headers, "Host");
    const bool local_socket = !stream_->peer().unix_path.empty() || stream_->peer().ip.empty();
    if (!local_socket && host && !host_allowed(*host, server_.options_.host_names)) {
      return Response::text(421, std::format("Host \"{}\" is not served here: use an IP address, localhost, or a name of the agent's http configuration", *host));
    }
    const std::string* origin = find_header(request_.headers, "Origin");
    if (server_.options_.check_origin && origin && !origin_allowed(*origin, host ? *host : "")) {
      return Response::text(403, std::format("Origin \"{}\" may not use this API", *origin));
    }
    return {};
  }

  std::string start_line(int status, const Headers& headers) const {
    std::string head = std::format("HTTP/1.1 {} {}\r\nDate: {}\r\n", status, reason_phrase(status), http_date(server_.loop_.wall()));
    for (const auto& [key, value] : server_.options_.extra_headers) head.append(key).append(": ").append(value).append("\r\n");
    for (const auto& [key, value] : headers) head.append(key).append(": ").append(value).append("\r\n");
    if (!keep_alive_) head.append("Connection: close\r\n");
    return head;
  }

  Server& server_;
  std::unique_ptr<io::Stream> stream_;
  std::string buffer_;  // bytes behind the current request
  uint64_t held_ = 0;
  Request request_;
  bool keep_alive_ = true;
  bool answered_ = false;
  bool finished_ = false;
};

Server::Server(io::Loop& loop, Rng& rng, log::Logger logger, ServerOptions options, Handler handler)
    : loop_(loop), rng_(rng), logger_(std::move(logger)), options_(std::move(options)), handler_(std::move(handler)), scope_(loop), slot_free_(loop) {}

Server::~Server() = default;

void Server::serve(std::unique_ptr<io::Listener> listener) { scope_.spawn(accept_all(std::move(listener))); }

io::Task<void> Server::stop() {
  scope_.request_stop();
  co_await scope_.join();
}

bool Server::admit(const std::string& address) {
  if (address.empty() || options_.connections_per_address == 0) return true;
  size_t& count = per_address_[address];
  if (count >= options_.connections_per_address) return false;
  ++count;
  return true;
}

void Server::release(const std::string& address) {
  const auto found = per_address_.find(address);
  if (found != per_address_.end() && --found->second == 0) per_address_.erase(found);
}

io::Task<void> Server::accept_all(std::unique_ptr<io::Listener> listener) {
  while (!scope_.token().stop_requested()) {
    if (connections_ >= options_.connections) {
      io::Deadline until{.stop = scope_.token()};
      static_cast<void>(co_await slot_free_.wait(std::move(until)));
      continue;
    }
    io::Deadline until{.stop = scope_.token()};
    auto stream = co_await listener->accept(std::move(until));
    if (stream.ok()) {
      ++connections_;
      if (admit((*stream)->peer().ip)) scope_.spawn(run_connection(std::move(*stream)));
      else scope_.spawn(refuse(std::move(*stream)));
      continue;
    }
    if (stream.error().code() == Code::kCancelled) co_return;
    logger_.warn("cannot accept a connection", {{"error", stream.error()}});
    static_cast<void>(co_await io::sleep_for(loop_, std::chrono::milliseconds(100), scope_.token()));
  }
}

io::Task<void> Server::run_connection(std::unique_ptr<io::Stream> stream) {
  const std::string address = stream->peer().ip;
  {
    Connection connection(*this, std::move(stream));
    co_await connection.run();
  }
  release(address);
  --connections_;
  slot_free_.pulse();
}

io::Task<void> Server::refuse(std::unique_ptr<io::Stream> stream) {
  const std::string answer = "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
  static_cast<void>(co_await stream->write(as_bytes(answer), io::Deadline::in(loop_, std::chrono::seconds(1))));
  --connections_;
  slot_free_.pulse();
}

}  // namespace steppe::http
