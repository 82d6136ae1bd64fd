#pragma once

#include <cstdint>
#include <vector>

#include "agent/server/core.h"

namespace steppe::schema {
class LogGcReap;
}

namespace steppe::server {

enum class GcScope : uint8_t {
  kAged,   // what is over for longer than the thresholds
  kForced, // everything that is over
};

// What garbage collection removes from `snapshot`, in commands that each fit a log entry. Pure.
//   job         dead; a service or system job also stopped, a periodic or parameterized parent too; all its evals and allocs go with it
//   eval        over, with all its allocs; a batch job's only when the job is gone or stopped and dead, because its allocs
//               say what was done already: but those of older versions go
//   alloc       over, and not to be rescheduled any more
//   deployment  over, without a live alloc
//   node        down, without a live alloc
std::vector<schema::LogGcReap> find_garbage(const state::Snapshot& snapshot, const GcThresholds& thresholds, WallTime now, GcScope scope);

// Finds it and removes it. Counts what went.
io::Task<endpoint::Outcome<uint64_t>> collect_garbage(Core& core, GcScope scope);

}  // namespace steppe::server
