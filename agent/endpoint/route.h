#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/endpoint/method.h"

namespace steppe::endpoint {

enum class Verb : uint8_t { kGet = 1, kPut = 2, kPost = 4, kDelete = 8 };

struct Verbs {
  uint8_t bits = 0;
  constexpr bool has(Verb verb) const { return (bits & static_cast<uint8_t>(verb)) != 0; }
};
// "GET" ... ; nullopt for any other. HEAD and OPTIONS are the listener's own.
std::optional<Verb> parse_verb(std::string_view text);

// How a request's body becomes the method's request.
enum class RequestBody : uint8_t {
  kNone,      // ignored; path and query fill the request
  kJson,      // the request as JSON; empty is 400 "Request body is empty"
  kOptional,  // the request as JSON; empty means its zero value
  kData,      // as it is, into the request's field `data`
};

// How the reply becomes a response.
enum class ResponseShape : uint8_t {
  kReply,      // the reply as JSON
  kField,      // one field of it as JSON; unset: 404 with `missing`, or null where that is empty
  kEmpty,      // 200 without body
  kAgent,      // an AgentReply: its body, content type and status
  kFrames,     // a stream: JSON frames, or raw bytes with plain=true
  kBytes,      // a stream: raw bytes
  kWebSocket,  // a stream over a WebSocket
};

// One line of the HTTP API. A `:name` segment of the pattern fills the request's field of that name; where `same` is set it
// must be equal to that field of the body instead, or fills it when the body left it out. `:job_id` is greedy, for job ids
// hold slashes. `query` lists what the query string fills: space-separated `parameter` or `parameter=field`
// (a dotted path; a repeated field is appended to), beside those that every route takes: region, namespace, pretty and, for
// reads, index, wait, stale, prefix, filter, per_page, next_token, reverse.
struct HttpRoute {
  Verbs verbs;
  std::string_view pattern;
  Method method;
  RequestBody body = RequestBody::kNone;
  ResponseShape shape = ResponseShape::kReply;
  std::string_view field = {};    // kField: the reply's field
  std::string_view missing = {};  // kField: the 404 text
  std::string_view query = {};
  std::string_view same = {};     // a field of the body that the path repeats; unequal is 400
};

std::span<const HttpRoute> http_routes();

struct Parameter {
  std::string_view name;
  std::string value;
};

struct RouteMatch {
  const HttpRoute* route = nullptr;   // null: no route
  bool wrong_verb = false;            // the path is known, the verb is not: 405 "Invalid method"
  bool enterprise = false;            // 501 "Nomad Enterprise only endpoint"
  bool unserved = false;              // 501: a path of Nomad's that no part of this agent answers
  std::vector<Parameter> parameters;  // of the path, decoded
};

// `path` is decoded and without the query. Routing is textual, as Nomad's: the longest literal match wins, so a job named
// "x/plan" cannot be read.
RouteMatch match_route(Verb verb, std::string_view path);

// parameter -> field of one route's `query`.
std::vector<std::pair<std::string_view, std::string_view>> query_fields(const HttpRoute& route);

}  // namespace steppe::endpoint
