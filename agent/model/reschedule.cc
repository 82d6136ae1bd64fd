#include "agent/model/reschedule.h"

#include <algorithm>

#include "agent/schema/alloc.pb.h"

namespace steppe::model {
namespace {

// How far ahead of its time a replacement may be placed.
constexpr Duration kWindow = std::chrono::seconds(1);
constexpr int kPastEvents = 5;
// A hundred years: what is later never comes, and the sum with a time of today fits.
constexpr Duration kLongest = std::chrono::hours(24 * 36525);

}  // namespace

bool reschedule_enabled(const schema::ReschedulePolicy& policy) { return policy.unlimited() || policy.attempts() > 0; }

bool attempts_left(const schema::ReschedulePolicy& policy, const schema::RescheduleTracker* tracker, WallTime now) {
  if (policy.unlimited()) return true;
  int64_t used = 0;
  if (tracker != nullptr) {
    for (const auto& event : tracker->events()) used += now.unix_ns - event.reschedule_time() < policy.interval();
  }
  return used < policy.attempts();
}

Duration next_delay(const schema::ReschedulePolicy& policy, const schema::RescheduleTracker* tracker,
                    WallTime failed_at) {
  const Duration base(policy.delay());
  if (tracker == nullptr || tracker->events().empty()) return base;
  const auto& events = tracker->events();
  const Duration last(events.rbegin()->delay());
  Duration delay = base;
  if (policy.delay_function() == "exponential") {
    delay = last > Duration::max() / 2 ? Duration::max() : last * 2;
  } else if (policy.delay_function() == "fibonacci") {
    if (events.size() >= 2) {
      const Duration before((events.rbegin() + 1)->delay());
      // After a fall back from the ceiling a new series starts.
      const bool restarted = before.count() == policy.max_delay() && last == base;
      delay = restarted ? last : last > Duration::max() - before ? Duration::max() : last + before;
    }
  } else {
    return base;
  }
  if (policy.max_delay() > 0 && delay.count() > policy.max_delay()) {
    delay = Duration(policy.max_delay());
    if (failed_at.unix_ns - events.rbegin()->reschedule_time() > delay.count()) delay = base;
  }
  return delay;
}

Reschedule reschedule_decision(const schema::Allocation& alloc, const schema::ReschedulePolicy& policy,
                               WallTime failed_at, WallTime now) {
  Reschedule decision;
  if (alloc.client_status() != "failed" || !alloc.next_allocation().empty()) return decision;
  const schema::RescheduleTracker* tracker = alloc.has_reschedule_tracker() ? &alloc.reschedule_tracker() : nullptr;
  decision.delay = std::min(next_delay(policy, tracker, failed_at), kLongest);
  decision.at = failed_at + decision.delay;
  if (alloc.desired_transition().force_reschedule()) {
    decision.verdict = RescheduleVerdict::kNow;
    return decision;
  }
  if (alloc.desired_status() == "stop" || failed_at.unix_ns == 0 || !reschedule_enabled(policy)) return decision;
  const bool attempted = tracker != nullptr && !tracker->events().empty();
  if (!policy.unlimited() && attempted &&
      (!attempts_left(policy, tracker, failed_at) || decision.delay.count() >= policy.interval())) {
    return decision;
  }
  decision.verdict = decision.at - now <= kWindow ? RescheduleVerdict::kNow : RescheduleVerdict::kLater;
  return decision;
}

schema::RescheduleTracker next_tracker(const schema::Allocation& previous, const schema::ReschedulePolicy& policy,
                                       WallTime now, Duration delay) {
  schema::RescheduleTracker next;
  const auto& events = previous.reschedule_tracker().events();
  const bool limited = !policy.unlimited() && policy.attempts() > 0;
  const int first = limited ? 0 : std::max(0, events.size() - kPastEvents);
  for (int i = first; i < events.size(); ++i) {
    if (limited && now.unix_ns - events[i].reschedule_time() > policy.interval()) continue;
    *next.add_events() = events[i];
  }
  auto* event = next.add_events();
  event->set_reschedule_time(now.unix_ns);
  event->set_prev_alloc_id(previous.id());
  event->set_prev_node_id(previous.node_id());
  event->set_delay(delay.count());
  return next;
}

}  // namespace steppe::model
