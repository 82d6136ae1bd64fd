#include "agent/client/restart_policy.h"

#include <format>

#include "init/base/text.h"

namespace steppe::client {

RestartDecision RestartTracker::count_one(WallTime now, Rng& rng) {
  // A clock that was set back must not keep an interval open for ever.
  bool never_counted = memory_.interval_start.unix_ns == 0;
  if (never_counted) memory_.interval_start = now;
  ++memory_.count;
  if (now > memory_.interval_start + policy_.interval || now < memory_.interval_start) {
    memory_.count = 1;
    memory_.interval_start = now;
  }
  if (memory_.count > policy_.attempts) {
    if (!policy_.delay_mode) {
      return {RestartVerdict::kFail, {},
              std::format("Exceeded allowed attempts {} in interval {} and mode is \"fail\"", policy_.attempts,
                          format_duration(policy_.interval))};
    }
    return {RestartVerdict::kRestart, memory_.interval_start + policy_.interval - now,
            "Exceeded allowed attempts, applying a delay"};
  }
  uint64_t quarter = static_cast<uint64_t>(policy_.delay.count()) / 4;
  Duration jitter(quarter == 0 ? 0 : static_cast<int64_t>(rng.below(quarter)));
  return {RestartVerdict::kRestart, policy_.delay + jitter, "Restart within policy"};
}

RestartDecision RestartTracker::after_exit(bool success, WallTime now, Rng& rng) {
  if (success && !policy_.on_success) {
    return {RestartVerdict::kEnd, {}, "Restart unnecessary as task terminated successfully"};
  }
  if (policy_.attempts == 0) return {RestartVerdict::kFail, {}, "Policy allows no restarts"};
  return count_one(now, rng);
}

RestartDecision RestartTracker::after_start_error(bool recoverable, WallTime now, Rng& rng) {
  if (!recoverable) return {RestartVerdict::kFail, {}, "Error was unrecoverable"};
  if (policy_.attempts == 0) return {RestartVerdict::kFail, {}, "Policy allows no restarts"};
  return count_one(now, rng);
}

}  // namespace steppe::client
