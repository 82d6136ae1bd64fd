#pragma once

#include <vector>

#include "agent/scheduler/reconcile.h"

// First half of the reconciler: which set an alloc belongs to, and which failed ones are due.
namespace steppe::scheduler {

struct TaintSets {
  AllocSet untainted, migrate, lost, disconnecting, reconnecting, expired, ignored;
};
TaintSets sort_by_taint(const ReconcileInput& input, const AllocSet& allocs);

struct DueLater {
  JobAlloc alloc;
  WallTime at;
};
struct DueNow {
  JobAlloc alloc;
  Duration delay{};
};
struct RescheduleSets {
  AllocSet untainted;  // keep their slots, those of `later` among them
  std::vector<DueNow> now;
  std::vector<DueLater> later;
};
enum class RescheduleOf : uint8_t { kFailed, kDisconnecting };
// `deployment`: the current one of the job's version, or null. Its failed allocs wait until they are marked for rescheduling.
RescheduleSets sort_by_reschedule(const ReconcileInput& input, const schema::Deployment* deployment,
                                  const AllocSet& allocs, RescheduleOf what);

// Batch: terminal allocs of an older version do not count.
AllocSet without_old_terminal(const ReconcileInput& input, const AllocSet& allocs);

// lost_after / stop_on_client_after of the group under the alloc's own job; 0 when absent.
Duration lost_after(const JobAlloc& item);
Duration stop_on_client_after(const JobAlloc& item);
bool replace_on_disconnect(const JobAlloc& item);

// When the alloc last became unknown; nullopt when it did not, or reconnected since.
std::optional<WallTime> unknown_since(const schema::Allocation& alloc);

// A lost alloc whose replacement waits for stop_on_client_after, until then.
std::optional<WallTime> replacement_held_until(const ReconcileInput& input, const JobAlloc& item);

}  // namespace steppe::scheduler
