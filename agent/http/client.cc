#include "agent/http/client.h"

#include <format>

#include "agent/http/parser.h"
#include "init/base/assert.h"
#include "init/base/bytes.h"

namespace steppe::http {

namespace {
constexpr size_t kReadSize = 32 << 10;
}

io::Task<Result<std::unique_ptr<io::Stream>>> Client::send(const Request& request, io::Deadline deadline) {
  STEPPE_CO_TRY(std::unique_ptr<io::Stream> stream, co_await network_.connect(target_.address, deadline));
  const std::string query = request.query.text();
  std::string head = std::format("{} {}{}{} HTTP/1.1\r\nHost: {}\r\n", request.method, request.path, query.empty() ? "" : "?", query, target_.host);
  for (const auto& [key, value] : request.headers) head.append(key).append(": ").append(value).append("\r\n");
  if (!request.body.empty() || request.method == "PUT" || request.method == "POST") {
    head.append(std::format("Content-Length: {}\r\n", request.body.size()));
  }
  head.append("\r\n").append(request.body);
  STEPPE_CO_TRY_VOID(co_await stream->write(as_bytes(head), deadline));
  co_return stream;
}

io::Task<Result<Response>> Client::call(Request request, io::Deadline deadline) {
  return stream(std::move(request), {}, std::move(deadline));
}

io::Task<Result<Response>> Client::stream(Request request, BodySink sink, io::Deadline deadline) {
  request.headers.emplace_back("Connection", "close");
  STEPPE_CO_TRY(std::unique_ptr<io::Stream> connection, co_await send(request, deadline));
  ResponseParser parser(limits_, request.method == "HEAD");
  Response response;
  std::string bytes(kReadSize, '\0');
  std::string pending;
  while (!parser.done()) {
    STEPPE_CO_TRY(const size_t count, co_await connection->read(std::as_writable_bytes(std::span(bytes)), deadline));
    if (count == 0) {
      STEPPE_CO_TRY_VOID(parser.feed_end());
      break;
    }
    pending.append(bytes, 0, count);
    STEPPE_CO_TRY(const size_t used, parser.feed(pending));
    pending.erase(0, used);
    if (parser.header_done() && parser.status() == 200 && sink) {
      const std::string piece = parser.take_body();
      if (!piece.empty()) STEPPE_CO_TRY_VOID(co_await sink(piece));
    }
  }
  if (!parser.header_done()) co_return Error(Code::kIo, "connection closed before an answer");
  response.status = parser.status();
  response.headers = parser.headers();
  response.body = parser.take_body();
  if (response.status == 200 && sink && !response.body.empty()) {
    STEPPE_CO_TRY_VOID(co_await sink(response.body));
    response.body.clear();
  }
  co_return response;
}

io::Task<Result<std::unique_ptr<WebSocket>>> Client::websocket(Request request, io::Deadline deadline) {
  std::string nonce(16, '\0');
  rng_.fill(std::as_writable_bytes(std::span(nonce)));
  const std::string key = base64(as_bytes(nonce));
  request.headers.insert(request.headers.end(), {{"Connection", "Upgrade"}, {"Upgrade", "websocket"}, {"Sec-WebSocket-Version", "13"}, {"Sec-WebSocket-Key", key}});
  STEPPE_CO_TRY(std::unique_ptr<io::Stream> connection, co_await send(request, deadline));
  ResponseParser parser(limits_, false);
  std::string bytes(kReadSize, '\0');
  std::string pending;
  while (!parser.header_done()) {
    STEPPE_CO_TRY(const size_t count, co_await connection->read(std::as_writable_bytes(std::span(bytes)), deadline));
    if (count == 0) co_return Error(Code::kIo, "connection closed before an answer");
    pending.append(bytes, 0, count);
    // Only up to the end of the header: what follows an upgrade is not HTTP.
    const size_t end = pending.find("\r\n\r\n");
    const std::string_view header = end == std::string::npos ? std::string_view() : std::string_view(pending).substr(0, end + 4);
    if (header.empty() && pending.size() > limits_.header_bytes) co_return Error(Code::kExhausted, "response header too large");
    if (!header.empty()) {
      STEPPE_CO_TRY(const size_t used, parser.feed(header));
      STEPPE_ASSERT(used == header.size());
      pending.erase(0, end + 4);
    }
  }
  if (parser.status() == 101) {
    const Headers headers = parser.headers();
    const std::string* accept = find_header(headers, "Sec-WebSocket-Accept");
    if (!accept || *accept != websocket_accept_key(key)) co_return Error(Code::kInvalid, "WebSocket handshake answered with a wrong key");
    co_return std::make_unique<WebSocket>(std::move(connection), WebSocket::Side::kClient, rng_, Bytes::mib(4), std::move(pending));
  }
  while (!parser.done()) {
    STEPPE_CO_TRY(const size_t used, parser.feed(pending));
    pending.erase(0, used);
    if (parser.done()) break;
    STEPPE_CO_TRY(const size_t count, co_await connection->read(std::as_writable_bytes(std::span(bytes)), deadline));
    if (count == 0) break;
    pending.append(bytes, 0, count);
  }
  co_return Error(Code::kInvalid, std::format("Unexpected response code: {} ({})", parser.status(), parser.take_body()));
}

}  // namespace steppe::http
