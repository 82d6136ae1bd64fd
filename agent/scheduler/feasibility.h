#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/model/constraint.h"
#include "agent/scheduler/group_ask.h"
#include "agent/scheduler/node_traits.h"

namespace steppe::scheduler {

// Why a node cannot take a group. Empty: it can.
struct Refusal {
  std::string reason;     // as metrics name it: "${attr.kernel.name} = linux", "missing drivers", ...
  bool by_class = false;  // the same on every node of the computed class, whatever happens to its drivers and volumes
  bool ok() const { return reason.empty(); }
};

// Can the node ever take the group, leaving aside what other allocs hold: constraints, drivers, devices, network modes, host volumes.
// In the order of Nomad's checks, so that the reason is the one that its users know.
Refusal check_node(model::ConstraintChecker& checker, const GroupAsk& ask, const schema::Node& node);

// Does any constraint look at what nodes of one class may differ in.
bool has_escaped(const GroupAsk& ask);

// A host volume by name; per-alloc ones carry the alloc's index.
bool has_host_volume(const schema::Node& node, const schema::VolumeRequest& request, std::string_view alloc_name);

// Counts for AllocMetric.
struct FilterCounts {
  int64_t evaluated = 0;
  int64_t filtered = 0;
  int64_t in_pool = 0;
  std::map<std::string, int64_t> available;  // ready nodes by datacenter
  std::map<std::string, int64_t> by_class;
  std::map<std::string, int64_t> by_constraint;
};

// The nodes that a group may use at all.
struct Feasible {
  std::vector<uint32_t> nodes;  // ordinals, ascending
  FilterCounts counts;
  std::map<std::string, bool> class_eligible;
  bool escaped = false;
};

// Judges every node of the job's datacenters and pool, once per trait (once per node where a constraint looks at unique
// attributes).
Feasible find_feasible(Cluster& cluster, model::ConstraintChecker& checker, const GroupAsk& ask);

// Datacenter patterns and pool of the job, against ids of the columns.
class PlaceFilter {
 public:
  PlaceFilter(const state::NodeColumns& columns, const schema::Job& job);
  bool allows(uint32_t datacenter, uint32_t pool) const { return datacenters_[datacenter] && pools_[pool]; }
  bool in_pool(uint32_t pool) const { return pools_[pool]; }

 private:
  std::vector<bool> datacenters_, pools_;
};
// The same for one node's names: does the job still admit it.
bool job_admits(const schema::Job& job, std::string_view datacenter, std::string_view pool);

}  // namespace steppe::scheduler
