#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "agent/endpoint/capability.h"
#include "agent/endpoint/methods.h"
#include "init/base/bytes.h"

namespace google::protobuf {
class Message;
}

namespace steppe::schema {
#define STEPPE_ENDPOINT_DECLARE(e, name, kind, Request, Reply, ...) \
  class Request;                                              \
  class Reply;
STEPPE_ENDPOINT_METHODS(STEPPE_ENDPOINT_DECLARE)
#undef STEPPE_ENDPOINT_DECLARE
}  // namespace steppe::schema

namespace steppe::endpoint {

using Message = google::protobuf::Message;

enum class Method : uint16_t {
#define STEPPE_ENDPOINT_ENUMERATE(e, ...) k##e,
  STEPPE_ENDPOINT_METHODS(STEPPE_ENDPOINT_ENUMERATE)
#undef STEPPE_ENDPOINT_ENUMERATE
      kCount,
};

enum class Kind : uint8_t {
  kRead,    // its request has a `query`; may block until an index
  kWrite,   // its request has a `write`; goes to the leader
  kStream,  // a conversation of StreamReply messages
};

// Which namespace the row's capabilities are asked in.
enum class NamespaceSource : uint8_t {
  kNone,     // they hold everywhere
  kRequest,  // the request's namespace, "default" when it has none; "*" asks for one namespace at least
  kJob,      // the request's, else its job's, else "default"
  kObject,   // that of the row the request names by id: one namespace at least is asked first, then the handler must call
             // Call::authorise() with the object's namespace before it answers
};

// The least role that a peer's certificate must name when a request comes over RPC. A server may do what a client may.
enum class CertificateRole : uint8_t { kAnyone, kClient, kServer };

// What is refused: a request above `body` (encoded) with 413; more than `in_flight` at once, or more than `per_second`
// (0: no such limit), with 429.
struct Limits {
  Bytes body;
  uint32_t in_flight = 0;
  uint32_t per_second = 0;

  static constexpr Limits small() { return {Bytes::kib(64), 20'000, 0}; }
  static constexpr Limits job() { return {Bytes::mib(3), 512, 0}; }
  static constexpr Limits bulk() { return {Bytes::mib(3), 20'000, 0}; }
  static constexpr Limits scarce() { return {Bytes::kib(64), 4, 20}; }
  static constexpr Limits upload() { return {Bytes::kib(1025), 4, 0}; }
  static constexpr Limits scarce_job() { return {Bytes::mib(3), 32, 0}; }
};

struct Row {
  Method method;
  std::string_view name;
  Kind kind;
  NamespaceSource source;
  CertificateRole certificate;
  Limits limits;
  CapabilitySet any_of;
};

const Row& row(Method method);
std::span<const Row> rows();  // by Method
// Null when there is no such method.
const Row* find_row(std::string_view name);

std::unique_ptr<Message> new_request(Method method);
std::unique_ptr<Message> new_reply(Method method);

// The messages of a method, for code that names it.
template <Method M>
struct Messages;
#define STEPPE_ENDPOINT_MESSAGES(e, name, kind, RequestType, ReplyType, ...) \
  template <>                                                          \
  struct Messages<Method::k##e> {                                      \
    using Request = schema::RequestType;                               \
    using Reply = schema::ReplyType;                                   \
  };
STEPPE_ENDPOINT_METHODS(STEPPE_ENDPOINT_MESSAGES)
#undef STEPPE_ENDPOINT_MESSAGES

}  // namespace steppe::endpoint
