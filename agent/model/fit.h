#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace steppe::schema {
class AllocatedResources;
class Allocation;
class Node;
}

// Whether allocations fit a node together.
namespace steppe::model {

// What is counted in plain numbers.
struct FlatResources {
  int64_t cpu_shares = 0;  // MHz
  int64_t memory_mb = 0;
  int64_t memory_max_mb = 0;  // memory_mb where no maximum was given
  int64_t disk_mb = 0;
  std::vector<uint32_t> cores;  // reserved, sorted

  void add(const FlatResources& other);
  // The first dimension in which `ask` exceeds this, in Nomad's words ("cpu", "memory", "disk"); empty when it fits.
  // Cores are not compared here: see allocs_fit.
  std::string exceeded_by(const FlatResources& ask) const;
};

// What one alloc takes. Phases do not add up: prestart tasks that end, main tasks, and poststop tasks run one after the
// other, so their maximum counts in each dimension, plus the sidecars, which run all along. Poststart tasks that end run
// beside the main tasks. Disk and group networks count once.
FlatResources alloc_resources(const schema::AllocatedResources& resources);

// The node's capacity without what is reserved for the host.
FlatResources node_resources(const schema::Node& node);

struct FitResult {
  bool fits = false;
  std::string dimension;  // what is exhausted, when it does not fit: "cpu", "memory", "disk", "cores",
                          // "reserved port collision LABEL=PORT", "bandwidth exceeded", "device oversubscribed"
  FlatResources used;     // all non-terminal allocs together
};

// Do these allocs, all meant for `node`, fit it together? Terminal ones are skipped (desired stop/evict counts as
// terminal only once the client is; an alloc that the client reports finished is). Checks cpu, memory, disk, cores (no
// core twice, all on the node), host ports (no port twice on one address, reserved host ports excluded; a port whose
// every holder has ignore_collision is shared) and device instances (none held twice). O(n log n).
FitResult allocs_fit(const schema::Node& node, std::span<const schema::Allocation* const> allocs);

// Bin packing: 20 - (10^free_cpu + 10^free_memory), 0..18; spread is its mirror image. `used` includes what is judged.
double score_binpack(const FlatResources& capacity, const FlatResources& used);
double score_spread(const FlatResources& capacity, const FlatResources& used);

// "22,80,8000-8100" -> sorted distinct ports. False, and none, for a text that is not such a list.
bool parse_port_ranges(std::string_view text, std::vector<uint32_t>* out);

}  // namespace steppe::model
