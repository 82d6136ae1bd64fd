#include "agent/endpoint/method.h"

#include <array>

#include "agent/schema/agent.pb.h"
#include "agent/schema/machine.pb.h"
#include "agent/schema/rpc.pb.h"
#include "init/base/assert.h"

namespace steppe::endpoint {
namespace {

namespace limits {
constexpr Limits kSmall = Limits::small();
constexpr Limits kJob = Limits::job();
constexpr Limits kBulk = Limits::bulk();
constexpr Limits kScarce = Limits::scarce();
constexpr Limits kScarceJob = Limits::scarce_job();
constexpr Limits kUpload = Limits::upload();
}  // namespace limits

using enum Capability;

constexpr std::array<Row, static_cast<size_t>(Method::kCount)> kRows = {{
#define STEPPE_ENDPOINT_ROW(e, name, kind, Request, Reply, source, certificate, limit, ...) \
  Row{Method::k##e, name, Kind::kind, NamespaceSource::source, CertificateRole::certificate, limits::limit, CapabilitySet{__VA_ARGS__}},
    STEPPE_ENDPOINT_METHODS(STEPPE_ENDPOINT_ROW)
#undef STEPPE_ENDPOINT_ROW
}};

// A namespace to ask in and capabilities that hold in one belong together; an open row is open to every peer.
constexpr bool consistent(const Row& row) {
  for (unsigned i = 0; i < static_cast<unsigned>(Capability::kCount); ++i) {
    const auto capability = static_cast<Capability>(i);
    if (row.any_of.has(capability) && namespaced(capability) != (row.source != NamespaceSource::kNone)) return false;
  }
  return !row.any_of.empty() || row.certificate == CertificateRole::kAnyone;
}
static_assert([] {
  for (const Row& row : kRows) {
    if (!consistent(row)) return false;
  }
  return true;
}());

template <class T>
std::unique_ptr<Message> make() {
  return std::make_unique<T>();
}
using Make = std::unique_ptr<Message> (*)();

constexpr Make kRequests[] = {
#define STEPPE_ENDPOINT_REQUEST(e, name, kind, Request, ...) make<schema::Request>,
    STEPPE_ENDPOINT_METHODS(STEPPE_ENDPOINT_REQUEST)
#undef STEPPE_ENDPOINT_REQUEST
};
constexpr Make kReplies[] = {
#define STEPPE_ENDPOINT_REPLY(e, name, kind, Request, Reply, ...) make<schema::Reply>,
    STEPPE_ENDPOINT_METHODS(STEPPE_ENDPOINT_REPLY)
#undef STEPPE_ENDPOINT_REPLY
};

size_t place(Method method) {
  STEPPE_ASSERT(method < Method::kCount);
  return static_cast<size_t>(method);
}

}  // namespace

const Row& row(Method method) { return kRows[place(method)]; }
std::span<const Row> rows() { return kRows; }

const Row* find_row(std::string_view name) {
  for (const Row& row : kRows) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

std::unique_ptr<Message> new_request(Method method) { return kRequests[place(method)](); }
std::unique_ptr<Message> new_reply(Method method) { return kReplies[place(method)](); }

}  // namespace steppe::endpoint
