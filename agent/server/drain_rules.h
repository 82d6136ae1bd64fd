#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/state/snapshot.h"
#include "init/base/clock.h"

// Which allocs a draining node gives up next. Pure.
namespace steppe::server {

struct DrainStep {
  std::vector<AllocId> migrate;        // to be marked now
  std::vector<NodeId> done;            // nothing is left on them: their drain is over
  std::optional<WallTime> deadline;    // look again then, if nothing happens before
};

// One look at all draining nodes.
//   deadline passed, or none given (force)   everything on the node goes
//   service alloc     goes while its group keeps count - migrate.max_parallel healthy ones, over all nodes
//   batch alloc       stays to its end
//   system alloc      goes after all others of the node are over; stays with ignore_system_jobs
DrainStep plan_drains(const state::Snapshot& snapshot, const std::set<NodeId>& draining, WallTime now);

}  // namespace steppe::server
