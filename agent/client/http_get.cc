#include "agent/client/http_get.h"

#include <algorithm>
#include <array>
#include <format>

#include "init/base/text.h"

namespace steppe::client {
namespace {

constexpr size_t kMaxHead = 64 << 10;

// The bytes of one answer, buffered.
class Reader {
 public:
  Reader(io::Stream& stream, io::Deadline deadline) : stream_(stream), deadline_(std::move(deadline)) {}

  // Up to and without CRLF (or a bare LF).
  io::Task<Result<std::string>> line() {
    while (true) {
      size_t end = buffer_.find('\n', at_);
      if (end != buffer_.npos) {
        std::string out = buffer_.substr(at_, end - at_);
        at_ = end + 1;
        if (out.ends_with('\r')) out.pop_back();
        co_return out;
      }
      if (buffer_.size() - at_ > kMaxHead) co_return Error(Code::kExhausted, "the answer's header is larger than 64 KiB");
      STEPPE_CO_TRY(bool more, co_await fill());
      if (!more) co_return Error(Code::kIo, "the server closed the connection in its answer");
    }
  }

  // Some bytes, at most `most`; empty at the end of the stream.
  io::Task<Result<std::string>> some(uint64_t most) {
    if (at_ == buffer_.size()) {
      STEPPE_CO_TRY(bool more, co_await fill());
      if (!more) co_return std::string();
    }
    size_t n = static_cast<size_t>(std::min<uint64_t>(most, buffer_.size() - at_));
    std::string out = buffer_.substr(at_, n);
    at_ += n;
    co_return out;
  }

 private:
  io::Task<Result<bool>> fill() {
    buffer_.erase(0, at_);
    at_ = 0;
    size_t old = buffer_.size();
    buffer_.resize(old + (64 << 10));
    ByteSpan into{reinterpret_cast<std::byte*>(buffer_.data() + old), buffer_.size() - old};
    Result<size_t> n = co_await stream_.read(into, deadline_);
    buffer_.resize(old + (n.ok() ? *n : 0));
    if (!n.ok()) co_return n.error();
    co_return *n > 0;
  }

  io::Stream& stream_;
  io::Deadline deadline_;
  std::string buffer_;
  size_t at_ = 0;
};

struct Head {
  int status = 0;
  std::string location;
  std::optional<uint64_t> length;
  bool chunked = false;
};

io::Task<Result<Head>> read_head(Reader& reader) {
  STEPPE_CO_TRY(std::string status, co_await reader.line());
  Head out;
  auto code = parse_uint(std::string_view(status).substr(std::min<size_t>(9, status.size()), 3));
  if (!status.starts_with("HTTP/1.") || !code.ok() || *code < 100) co_return Error(Code::kIo, "the answer is not HTTP/1");
  out.status = static_cast<int>(*code);
  for (int count = 0;; ++count) {
    STEPPE_CO_TRY(std::string line, co_await reader.line());
    if (line.empty()) break;
    if (count > 200) co_return Error(Code::kExhausted, "the answer has more than 200 header lines");
    size_t colon = line.find(':');
    if (colon == line.npos) continue;
    std::string_view name = std::string_view(line).substr(0, colon), value = trim(std::string_view(line).substr(colon + 1));
    if (equals_ignoring_case(name, "Location")) out.location = value;
    if (equals_ignoring_case(name, "Transfer-Encoding")) out.chunked = lower(value).ends_with("chunked");
    if (equals_ignoring_case(name, "Content-Length")) {
      auto length = parse_uint(value);
      if (!length.ok() || (out.length && *out.length != *length)) co_return Error(Code::kIo, "the answer has a bad Content-Length");
      out.length = *length;
    }
  }
  co_return out;
}

// Passes pieces on and keeps the limit.
struct Taker {
  std::function<Result<>(ByteView)>& take;
  Bytes limit;
  uint64_t total = 0;
  Result<> operator()(std::string_view piece) {
    total += piece.size();
    if (total > limit.count) return Error(Code::kExhausted, std::format("larger than {} bytes", limit.count));
    return take(as_bytes(piece));
  }
};

io::Task<Result<>> read_chunked(Reader& reader, Taker& take) {
  while (true) {
    STEPPE_CO_TRY(std::string line, co_await reader.line());
    std::string_view digits = trim(std::string_view(line).substr(0, line.find(';')));
    uint64_t size = 0;
    if (digits.empty() || digits.size() > 15) co_return Error(Code::kIo, "a chunk of the answer is malformed");
    for (char c : lower(digits)) {
      int value = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
      if (value < 0) co_return Error(Code::kIo, "a chunk of the answer is malformed");
      size = size << 4 | static_cast<uint64_t>(value);
    }
    if (size == 0) co_return Result<>();
    while (size > 0) {
      STEPPE_CO_TRY(std::string piece, co_await reader.some(size));
      if (piece.empty()) co_return Error(Code::kIo, "the answer was cut short");
      size -= piece.size();
      STEPPE_CO_TRY_VOID(take(piece));
    }
    STEPPE_CO_TRY(line, co_await reader.line());
    if (!line.empty()) co_return Error(Code::kIo, "a chunk of the answer is malformed");
  }
}

io::Task<Result<>> read_body(Reader& reader, const Head& head, Taker& take) {
  if (head.chunked) co_return co_await read_chunked(reader, take);
  uint64_t left = head.length.value_or(UINT64_MAX);
  if (head.length && *head.length > take.limit.count) co_return Error(Code::kExhausted, std::format("larger than {} bytes", take.limit.count));
  while (left > 0) {
    STEPPE_CO_TRY(std::string piece, co_await reader.some(left));
    if (piece.empty()) {
      if (head.length) co_return Error(Code::kIo, std::format("the answer was cut short: {} bytes are missing", left));
      break;
    }
    left -= piece.size();
    STEPPE_CO_TRY_VOID(take(piece));
  }
  co_return Result<>();
}

Error status_error(int status) {
  Code code = status == 404 || status == 410   ? Code::kNotFound
              : status == 401 || status == 403 ? Code::kDenied
              : status >= 500 || status == 429 ? Code::kUnavailable
                                               : Code::kInvalid;
  return Error(code, std::format("the server answered {}", status));
}

std::string request_text(const HttpGetRequest& request, bool own_origin, bool whole_url) {
  const Url& url = request.url;
  bool usual = url.port == (url.scheme == "https" ? 443 : 80);
  std::string host = url.host.find(':') != url.host.npos ? "[" + url.host + "]" : url.host;
  if (!usual) host += std::format(":{}", url.port);
  const std::string target = whole_url ? std::format("{}://{}{}", url.scheme, host, url.target) : url.target;
  std::string out = std::format("{} {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: steppe\r\nAccept: */*\r\nConnection: close\r\n", request.method, target, host);
  if (request.method != "GET") out += "Content-Length: 0\r\n";
  if (own_origin && !url.authorization.empty()) out += "Authorization: " + url.authorization + "\r\n";
  if (own_origin) {
    for (const auto& [key, value] : request.headers) out += key + ": " + value + "\r\n";
  }
  return out + "\r\n";
}

}  // namespace

io::Task<Result<>> http_get(Connector& connector, HttpGetRequest request, std::function<Result<>(ByteView)> take, io::Deadline deadline) {
  const Url first = request.url;
  for (int hop = 0; hop <= request.max_redirects; ++hop) {
    std::string where = request.url.shown();
    auto connected = co_await connector.connect(request.url, request.insecure, deadline);
    if (!connected.ok()) co_return std::move(connected).error().wrap("GET " + where);
    std::string text = request_text(request, request.url.same_origin(first), connector.whole_url(request.url));
    Result<> sent = co_await (*connected)->write(as_bytes(text), deadline);
    if (!sent.ok()) co_return std::move(sent).wrap("GET " + where);
    Reader reader(**connected, deadline);
    Result<Head> head = co_await read_head(reader);
    while (head.ok() && head->status < 200) head = co_await read_head(reader);
    if (!head.ok()) co_return std::move(head).error().wrap("GET " + where);
    if (head->status >= 300 && head->status < 400 && !head->location.empty()) {
      STEPPE_CO_TRY(Url next, request.url.resolve(head->location));
      if (next.scheme == "file") co_return Error(Code::kDenied, "GET " + where + ": redirects to a file");
      if (request.url.scheme == "https" && next.scheme == "http") co_return Error(Code::kDenied, "GET " + where + ": redirects from https to http");
      request.url = std::move(next);
      continue;
    }
    if (head->status < 200 || head->status >= 300) co_return status_error(head->status).wrap("GET " + where);
    Taker taker{take, request.max_body};
    Result<> body = co_await read_body(reader, *head, taker);
    co_return std::move(body).wrap("GET " + where);
  }
  co_return Error(Code::kInvalid, std::format("GET {}: more than {} redirects", first.shown(), request.max_redirects));
}

}  // namespace steppe::client
