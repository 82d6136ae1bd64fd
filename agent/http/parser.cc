#include "agent/http/parser.h"

// The one file that sees Beast: it costs half a minute of compile time wherever it is included.
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

namespace steppe::http {

namespace beast = boost::beast::http;

namespace {

Error parse_error(const boost::system::error_code& error) {
  if (error == beast::error::body_limit) return {Code::kExhausted, "request body too large"};
  if (error == beast::error::header_limit || error == beast::error::buffer_overflow) return {Code::kExhausted, "request header too large"};
  return {Code::kInvalid, "malformed HTTP message: " + error.message()};
}

template <class Parser>
Result<size_t> feed_all(Parser& parser, std::string_view bytes) {
  size_t used = 0;
  while (used < bytes.size() && !parser.is_done()) {
    boost::system::error_code error;
    const size_t count = parser.put(boost::asio::buffer(bytes.data() + used, bytes.size() - used), error);
    used += count;
    if (error == beast::error::need_more) break;
    if (error) return parse_error(error);
    if (count == 0) break;
  }
  return used;
}

template <class Message>
Headers copy_headers(const Message& message) {
  Headers headers;
  for (const auto& field : message) headers.emplace_back(field.name_string(), field.value());
  return headers;
}

}  // namespace

struct RequestParser::Impl {
  beast::request_parser<beast::string_body> parser;
};

RequestParser::RequestParser(MessageLimits limits) : impl_(std::make_unique<Impl>()) {
  impl_->parser.eager(true);
  impl_->parser.header_limit(limits.header_bytes);
  impl_->parser.body_limit(limits.body.count);
}
RequestParser::~RequestParser() = default;
RequestParser::RequestParser(RequestParser&&) noexcept = default;

Result<size_t> RequestParser::feed(std::string_view bytes) { return feed_all(impl_->parser, bytes); }
bool RequestParser::header_done() const { return impl_->parser.is_header_done(); }
bool RequestParser::done() const { return impl_->parser.is_done(); }
bool RequestParser::started() const { return impl_->parser.got_some(); }

bool RequestParser::expects_continue() const {
  return impl_->parser.get()[beast::field::expect] == "100-continue";
}

Result<Request> RequestParser::take() {
  auto message = impl_->parser.release();
  // RFC 9112, 3.2: exactly one Host, or two readers of a request may take it for two sites'.
  static constexpr unsigned kHttp11 = 11;
  const size_t hosts = message.count(beast::field::host);
  if (hosts > 1) return Error(Code::kInvalid, "malformed HTTP message: more than one Host header");
  if (hosts == 0 && message.version() >= kHttp11) return Error(Code::kInvalid, "malformed HTTP message: no Host header");
  Request request;
  request.method = std::string(message.method_string());
  const std::string_view target(message.target());
  const size_t mark = target.find('?');
  request.path = target.substr(0, mark);
  if (mark != std::string_view::npos) {
    STEPPE_TRY(request.query, Query::parse(target.substr(mark + 1)));
  }
  request.headers = copy_headers(message);
  request.keep_alive = message.keep_alive();
  request.body = std::move(message.body());
  return request;
}

struct ResponseParser::Impl {
  beast::response_parser<beast::string_body> parser;
};

ResponseParser::ResponseParser(MessageLimits limits, bool head_only) : impl_(std::make_unique<Impl>()) {
  impl_->parser.eager(true);
  impl_->parser.skip(head_only);
  impl_->parser.header_limit(limits.header_bytes);
  impl_->parser.body_limit(limits.body.count);
}
ResponseParser::~ResponseParser() = default;

Result<size_t> ResponseParser::feed(std::string_view bytes) { return feed_all(impl_->parser, bytes); }

Result<> ResponseParser::feed_end() {
  if (!impl_->parser.got_some()) return Error(Code::kIo, "connection closed without an answer");
  boost::system::error_code error;
  if (!impl_->parser.is_done()) impl_->parser.put_eof(error);
  if (error) return parse_error(error);
  return {};
}

bool ResponseParser::header_done() const { return impl_->parser.is_header_done(); }
bool ResponseParser::done() const { return impl_->parser.is_done(); }
int ResponseParser::status() const { return static_cast<int>(impl_->parser.get().result_int()); }
Headers ResponseParser::headers() const { return copy_headers(impl_->parser.get()); }
std::string ResponseParser::take_body() { return std::exchange(impl_->parser.get().body(), {}); }

}  // namespace steppe::http
