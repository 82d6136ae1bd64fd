#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "init/base/bytes.h"
#include "init/base/result.h"

namespace steppe::http {

using Headers = std::vector<std::pair<std::string, std::string>>;

// First value of a header, names compared without case; nullptr when absent.
const std::string* find_header(const Headers& headers, std::string_view name);

// Decoded query parameters in the order of the request. "?a&b=1" gives ("a", ""), ("b", "1").
class Query {
 public:
  // Percent-decoding errors are kInvalid; at most 1,000 parameters.
  static Result<Query> parse(std::string_view text);

  bool has(std::string_view key) const { return find(key) != nullptr; }
  const std::string* find(std::string_view key) const;               // first value
  std::string value(std::string_view key) const;                     // "" when absent
  std::vector<std::string> all(std::string_view key) const;
  void add(std::string key, std::string value) { items_.emplace_back(std::move(key), std::move(value)); }
  std::string text() const;  // encoded, without '?'

 private:
  std::vector<std::pair<std::string, std::string>> items_;
};

Result<std::string> percent_decode(std::string_view text, bool plus_is_space);
std::string percent_encode(std::string_view text);  // everything but RFC 3986's unreserved characters

struct Request {
  std::string method;  // upper case
  std::string path;    // still percent-encoded, without the query
  Query query;
  Headers headers;
  std::string body;
  std::string remote;  // address of the peer, for logs and limits
  bool keep_alive = true;
};

struct Response {
  int status = 200;
  Headers headers;  // Content-Length, Date, Connection are added when sent
  std::string body;

  static Response text(int status, std::string body);  // text/plain; charset=utf-8, no newline added
  static Response json(std::string body);              // application/json
};

std::string_view reason_phrase(int status);

// Limits of one message; beyond them 431 or 413.
struct MessageLimits {
  uint32_t header_bytes = 32 << 10;
  Bytes body = Bytes::mib(32);
};

}  // namespace steppe::http
