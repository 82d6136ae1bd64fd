#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/scheduler/node_traits.h"

namespace steppe::scheduler {

// Only jobs whose priority is at least this much lower may lose an alloc.
inline constexpr int64_t kPriorityDelta = 10;

// An alloc that may be evicted.
struct Preemptible {
  size_t index = 0;  // the caller's
  int64_t priority = 0;
  Cluster::Room holds;
  int64_t max_parallel = 0;   // of its group's migrate block; 0: no limit known
  int64_t already_evicted = 0;  // allocs of its group that the plan evicts so far
  bool required = false;      // holds something that the ask cannot do without (a static port)
};

// Which of them to evict so that `ask` fits into what is free: lowest priorities first; among those the one nearest to what
// is still missing (Euclidean distance of memory, CPU and disk relative to the ask), plus 50 for each alloc that its group would lose
// beyond max_parallel. What turns out superfluous is kept. Indexes into `candidates`; nullopt: not even all of them suffice.
std::optional<std::vector<size_t>> choose_victims(const std::vector<Preemptible>& candidates, const Cluster::Room& free,
                                                  const Cluster::Room& ask);

}  // namespace steppe::scheduler
