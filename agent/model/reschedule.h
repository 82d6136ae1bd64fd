#pragma once

#include "init/base/clock.h"

namespace steppe::schema {
class Allocation;
class ReschedulePolicy;
class RescheduleTracker;
}

// When a failed allocation is replaced. The policy is canonical.
namespace steppe::model {

enum class RescheduleVerdict {
  kNever,  // policy off, attempts used up, not failed, or it already has its replacement
  kNow,    // due: at or before `now`, or within the second after it
  kLater,  // due at `at`
};

struct Reschedule {
  RescheduleVerdict verdict = RescheduleVerdict::kNever;
  WallTime at;           // for kNow and kLater
  Duration delay{};      // what to store in the tracker's event
};

// What the policy says about `alloc` at `now`. `failed_at` is when it failed (its last task's end, or the modify time
// of the alloc if no task finished). A force_reschedule transition is kNow whatever the policy.
Reschedule reschedule_decision(const schema::Allocation& alloc, const schema::ReschedulePolicy& policy,
                               WallTime failed_at, WallTime now);

// The delay before the next attempt: constant; doubling from the last; or fibonacci over the last two; never above
// max_delay (0 = no cap), and back to `delay` when the alloc, counted from the last attempt, lived longer than the
// capped delay. A null tracker is an empty one.
Duration next_delay(const schema::ReschedulePolicy& policy, const schema::RescheduleTracker* tracker,
                    WallTime failed_at);

// Attempts and room: how many of the policy's attempts the tracker has used within the interval that ends at `now`.
bool attempts_left(const schema::ReschedulePolicy& policy, const schema::RescheduleTracker* tracker, WallTime now);

// The tracker of the replacement: the events that the policy still needs (at most 5 when unlimited, those within the
// interval when limited) and a new one for `previous`.
schema::RescheduleTracker next_tracker(const schema::Allocation& previous, const schema::ReschedulePolicy& policy,
                                       WallTime now, Duration delay);

// Enabled: unlimited, or attempts above 0 with an interval.
bool reschedule_enabled(const schema::ReschedulePolicy& policy);

}  // namespace steppe::model
