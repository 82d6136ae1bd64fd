#pragma once

#include <cstdint>

namespace steppe::state {

// On disk: append only. A record of kSpecs may stand between the records of kJobs and kAllocs that use it.
enum class Section : uint16_t {
  kMeta = 1,   // index, cluster version, index of each table
  kNodes = 2,  // last alloc update index, Node
  kSpecs = 3,  // number, Job
  kJobs = 4,
  kEvals = 5,   // Evaluation
  kAllocs = 6,  // spec number, usage, ports, Allocation without its job
  kDeployments = 7,
  kPools = 8,
  kConfig = 9,
  kEnd = 10,  // digest of each table
};

}  // namespace steppe::state
