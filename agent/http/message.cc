#include "agent/http/message.h"

#include <format>

#include "init/base/text.h"

namespace steppe::http {

const std::string* find_header(const Headers& headers, std::string_view name) {
  for (const auto& [key, value] : headers) {
    if (equals_ignoring_case(key, name)) return &value;
  }
  return nullptr;
}

Result<std::string> percent_decode(std::string_view text, bool plus_is_space) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && plus_is_space) {
      out.push_back(' ');
    } else if (text[i] == '%') {
      auto byte = i + 2 < text.size() ? unhex(text.substr(i + 1, 2)) : Result<std::string>(Error(Code::kInvalid, ""));
      if (!byte.ok()) return Error(Code::kInvalid, std::format("invalid URL escape \"{}\"", text.substr(i, 3)));
      out.append(*byte);
      i += 2;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

std::string percent_encode(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
    if (plain) out.push_back(c);
    else out.append(std::format("%{:02X}", static_cast<unsigned char>(c)));
  }
  return out;
}

Result<Query> Query::parse(std::string_view text) {
  static constexpr size_t kMostParameters = 1000;
  Query query;
  if (text.empty()) return query;
  for (const std::string_view item : split(text, '&')) {
    if (item.empty()) continue;
    if (query.items_.size() == kMostParameters) return Error(Code::kExhausted, "more than 1000 query parameters");
    const size_t equals = item.find('=');
    STEPPE_TRY(std::string key, percent_decode(item.substr(0, equals), true));
    std::string value;
    if (equals != std::string_view::npos) {
      STEPPE_TRY(value, percent_decode(item.substr(equals + 1), true));
    }
    query.items_.emplace_back(std::move(key), std::move(value));
  }
  return query;
}

const std::string* Query::find(std::string_view key) const {
  for (const auto& [name, value] : items_) {
    if (name == key) return &value;
  }
  return nullptr;
}

std::string Query::value(std::string_view key) const {
  const std::string* found = find(key);
  return found ? *found : std::string();
}

std::vector<std::string> Query::all(std::string_view key) const {
  std::vector<std::string> values;
  for (const auto& [name, value] : items_) {
    if (name == key) values.push_back(value);
  }
  return values;
}

std::string Query::text() const {
  std::string out;
  for (const auto& [key, value] : items_) {
    if (!out.empty()) out.push_back('&');
    out.append(percent_encode(key));
    if (!value.empty()) out.append("=").append(percent_encode(value));
  }
  return out;
}

Response Response::text(int status, std::string body) {
  return {status, {{"Content-Type", "text/plain; charset=utf-8"}}, std::move(body)};
}

Response Response::json(std::string body) { return {200, {{"Content-Type", "application/json"}}, std::move(body)}; }

std::string_view reason_phrase(int status) {
  switch (status) {
    case 101: return "Switching Protocols";
    case 200: return "OK";
    case 204: return "No Content";
    case 307: return "Temporary Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 413: return "Content Too Large";
    case 421: return "Misdirected Request";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    default: return "Status";
  }
}

}  // namespace steppe::http
