#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "agent/state/counted.h"
#include "init/base/ids.h"

namespace steppe::state {

struct Root;

// Bits of NodeFacts::flags. A row without kExists is a hole: skip it.
inline constexpr uint8_t kNodeExists = 1;
inline constexpr uint8_t kNodeReady = 2;     // status is ready
inline constexpr uint8_t kNodeEligible = 4;  // scheduling eligibility is eligible
inline constexpr uint8_t kNodeDraining = 8;  // has a drain strategy
inline constexpr uint8_t kNodePlaceable = kNodeExists | kNodeReady | kNodeEligible;  // all of these, and not draining

// Rows of a chunk. Ordinal o is row o % kChunkRows of chunk o / kChunkRows.
inline constexpr uint32_t kChunkRows = 1024;

// What changes when a node registers or changes status. CPU in MHz, sizes in MB. Totals are gross: the reserved part
// is to be subtracted.
struct NodeFacts final : Counted {
  template <class T>
  using Column = std::array<T, kChunkRows>;
  alignas(64) Column<int32_t> cpu_total{};
  alignas(64) Column<int32_t> cpu_reserved{};
  alignas(64) Column<int32_t> memory_total{};
  alignas(64) Column<int32_t> memory_reserved{};
  alignas(64) Column<int32_t> disk_total{};
  alignas(64) Column<int32_t> disk_reserved{};
  alignas(64) Column<int32_t> cores_total{};    // reservable hardware threads, less the reserved ones
  alignas(64) Column<int32_t> dynamic_ports{};  // size of the node's dynamic port range
  alignas(64) Column<uint32_t> datacenter{};    // ids of NodeColumns::datacenter() and so on
  alignas(64) Column<uint32_t> pool{};
  alignas(64) Column<uint32_t> computed_class{};
  alignas(64) Column<uint8_t> flags{};
  Column<NodeId> ids{};
};

// What the allocs on each node hold: the sum over allocs that are not client-terminal (one told to stop still holds
// its part until the client says that it ended). Sums are kept by apply as allocs come, change and go.
struct NodeUsage final : Counted {
  template <class T>
  using Column = std::array<T, kChunkRows>;
  alignas(64) Column<int32_t> cpu{};
  alignas(64) Column<int32_t> memory{};
  alignas(64) Column<int32_t> memory_max{};
  alignas(64) Column<int32_t> disk{};
  alignas(64) Column<int32_t> cores{};
  alignas(64) Column<int32_t> ports{};  // host ports inside the node's dynamic range
  alignas(64) Column<int32_t> allocs{};
};

// The columns of one snapshot: read only, any thread, valid as long as that snapshot. Scan them chunk by chunk:
//
//   for (uint32_t c = 0; c < columns.chunks(); ++c) {
//     const NodeFacts& facts = columns.facts(c);
//     const NodeUsage& usage = columns.usage(c);
//     for (uint32_t i = 0; i < kChunkRows; ++i) ...
class NodeColumns {
 public:
  explicit NodeColumns(const Root& root) : root_(&root) {}

  uint32_t chunks() const;
  const NodeFacts& facts(uint32_t chunk) const;
  const NodeUsage& usage(uint32_t chunk) const;

  std::optional<uint32_t> ordinal(const NodeId& id) const;
  const NodeId& id(uint32_t ordinal) const { return facts(ordinal / kChunkRows).ids[ordinal % kChunkRows]; }

  // The dictionaries behind the id columns. Ids lie below *_limit(); a free id has an empty name.
  uint32_t datacenter_limit() const;
  uint32_t pool_limit() const;
  uint32_t class_limit() const;
  std::string_view datacenter(uint32_t id) const;
  std::string_view pool(uint32_t id) const;
  std::string_view computed_class(uint32_t id) const;

 private:
  const Root* root_;
};

}  // namespace steppe::state
