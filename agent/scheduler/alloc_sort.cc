#include "agent/scheduler/alloc_sort.h"

#include <algorithm>
#include <optional>

#include "agent/model/alloc_status.h"
#include "agent/model/reschedule.h"
#include "agent/schema/alloc.pb.h"

namespace steppe::scheduler {
namespace {

const schema::DisconnectStrategy* disconnect_of(const JobAlloc& item) {
  if (item.job == nullptr) return nullptr;
  const schema::TaskGroup* group = model::find_group(*item.job, item.alloc->task_group());
  return group != nullptr && group->has_disconnect() ? &group->disconnect() : nullptr;
}

NodeFate fate_of(const ReconcileInput& input, const schema::Allocation& alloc) {
  const auto it = input.tainted.find(alloc.node_id());
  return it == input.tainted.end() ? NodeFate::kFine : it->second;
}

AllocSet& set_of_unknown(const ReconcileInput& input, const JobAlloc& item, WallTime since, TaintSets& sets) {
  const schema::Allocation& alloc = *item.alloc;
  if (input.now >= since + lost_after(item)) return sets.expired;
  // Its replacement holds the slot now.
  if (!alloc.next_allocation().empty()) return sets.ignored;
  return sets.untainted;
}

AllocSet& set_of(const ReconcileInput& input, const JobAlloc& item, TaintSets& sets) {
  const schema::Allocation& alloc = *item.alloc;
  const NodeFate fate = fate_of(input, alloc);
  const auto since = unknown_since(alloc);
  if (since && fate == NodeFate::kFine && alloc.desired_status() == "run" &&
      (alloc.client_status() == "running" || alloc.client_status() == "pending" || alloc.client_status() == "failed")) {
    return sets.reconnecting;
  }
  if (model::terminal(alloc)) return sets.untainted;
  if (alloc.desired_transition().migrate()) return sets.migrate;
  if (alloc.client_status() == "unknown") {
    return set_of_unknown(input, item, since.value_or(WallTime{alloc.modify_time()}), sets);
  }
  if (fate == NodeFate::kFine) return sets.untainted;
  const bool allowed = lost_after(item) > Duration::zero();
  if (alloc.client_status() != "running") return sets.lost;
  if (fate == NodeFate::kDisconnected) return allowed ? sets.disconnecting : sets.lost;
  // Down: only a group that wants no replacement keeps waiting for its node.
  return allowed && !replace_on_disconnect(item) ? sets.disconnecting : sets.lost;
}

WallTime failed_at(const schema::Allocation& alloc) {
  return model::last_finished(alloc).value_or(WallTime{alloc.modify_time()});
}

// True: keeps its slot whatever a policy says. False with `ignored`: does not count.
struct Filter {
  bool untainted = false;
  bool ignored = false;
};
Filter filter_batch(const schema::Allocation& alloc) {
  if (model::server_terminal(alloc)) {
    // Stopped before any task started is not done.
    const bool done = !alloc.task_states().empty() && model::ran_successfully(alloc);
    return done ? Filter{.untainted = true} : Filter{.ignored = true};
  }
  if (alloc.client_status() == "lost") return {.ignored = true};
  if (alloc.client_status() == "failed") return {};
  return {.untainted = true};
}
Filter filter_service(const schema::Allocation& alloc) {
  if (model::server_terminal(alloc)) return {.ignored = true};
  if (alloc.client_status() == "complete" || alloc.client_status() == "lost") return {.ignored = true};
  return {};
}

model::Reschedule decide_disconnecting(const ReconcileInput& input, const JobAlloc& item,
                                       const schema::ReschedulePolicy& policy) {
  model::Reschedule out;
  if (!replace_on_disconnect(item)) return out;
  if (!model::reschedule_enabled(policy)) return out;
  const schema::RescheduleTracker* tracker =
      item.alloc->has_reschedule_tracker() ? &item.alloc->reschedule_tracker() : nullptr;
  if (!model::attempts_left(policy, tracker, input.now)) return out;
  out.verdict = model::RescheduleVerdict::kNow;
  out.at = input.now;
  return out;
}

model::Reschedule decide(const ReconcileInput& input, const schema::Deployment* deployment, const JobAlloc& item,
                         RescheduleOf what) {
  const schema::Allocation& alloc = *item.alloc;
  const schema::TaskGroup* group = item.job == nullptr ? nullptr : model::find_group(*item.job, alloc.task_group());
  if (group == nullptr) return {};
  const schema::ReschedulePolicy& policy = group->reschedule_policy();
  if (what == RescheduleOf::kDisconnecting) return decide_disconnecting(input, item, policy);
  if (alloc.client_status() != "failed") return {};
  const auto& transition = alloc.desired_transition();
  if (transition.force_reschedule()) return model::reschedule_decision(alloc, policy, failed_at(alloc), input.now);
  const bool waits = deployment != nullptr && deployment_active(*deployment) &&
                     alloc.deployment_id() == deployment->id() && !transition.reschedule();
  if (waits) return {};
  model::Reschedule out = model::reschedule_decision(alloc, policy, failed_at(alloc), input.now);
  if (out.verdict != model::RescheduleVerdict::kLater) return out;
  // This evaluation is the one that was to come when the delay is over: it counts as due even if clocks differ a little.
  if (!alloc.followup_eval_id().empty() && alloc.followup_eval_id() == input.eval->id()) {
    out.verdict = model::RescheduleVerdict::kNow;
  }
  return out;
}

}  // namespace

Duration lost_after(const JobAlloc& item) {
  const auto* strategy = disconnect_of(item);
  return strategy == nullptr ? Duration::zero() : Duration(strategy->lost_after());
}

Duration stop_on_client_after(const JobAlloc& item) {
  const auto* strategy = disconnect_of(item);
  return strategy == nullptr ? Duration::zero() : Duration(strategy->stop_on_client_after());
}

bool replace_on_disconnect(const JobAlloc& item) {
  const auto* strategy = disconnect_of(item);
  return strategy == nullptr || !strategy->has_replace() || strategy->replace();
}

std::optional<WallTime> unknown_since(const schema::Allocation& alloc) {
  std::optional<WallTime> since;
  for (const auto& state : alloc.alloc_states()) {
    if (state.field() != "ClientStatus") continue;
    if (state.value() == "unknown") {
      since = WallTime{state.time()};
    } else {
      since.reset();
    }
  }
  return since;
}

std::optional<WallTime> replacement_held_until(const ReconcileInput& input, const JobAlloc& item) {
  const Duration delay = stop_on_client_after(item);
  if (delay <= Duration::zero() || !item.alloc->next_allocation().empty()) return std::nullopt;
  if (item.alloc->followup_eval_id() == input.eval->id() && !input.eval->id().empty()) return std::nullopt;
  const bool was_lost = item.alloc->client_status() == "lost";
  const WallTime from = was_lost ? WallTime{item.alloc->modify_time()} : input.now;
  const WallTime until = from + delay;
  return until > input.now ? std::optional(until) : std::nullopt;
}

TaintSets sort_by_taint(const ReconcileInput& input, const AllocSet& allocs) {
  TaintSets sets;
  for (const JobAlloc& item : allocs) set_of(input, item, sets).push_back(item);
  return sets;
}

RescheduleSets sort_by_reschedule(const ReconcileInput& input, const schema::Deployment* deployment,
                                  const AllocSet& allocs, RescheduleOf what) {
  RescheduleSets sets;
  for (const JobAlloc& item : allocs) {
    const schema::Allocation& alloc = *item.alloc;
    if (what == RescheduleOf::kFailed) {
      // Already replaced: a failed one's slot went to its successor.
      if (!alloc.next_allocation().empty() && model::terminal(alloc)) continue;
      const Filter filter = input.batch ? filter_batch(alloc) : filter_service(alloc);
      if (filter.untainted) sets.untainted.push_back(item);
      if (filter.untainted || filter.ignored) continue;
    }
    const model::Reschedule verdict = decide(input, deployment, item, what);
    if (verdict.verdict == model::RescheduleVerdict::kNow) {
      sets.now.push_back({item, verdict.delay});
      continue;
    }
    sets.untainted.push_back(item);
    // A follow-up evaluation that is already on its way is not made twice.
    if (verdict.verdict == model::RescheduleVerdict::kLater && alloc.followup_eval_id().empty()) {
      sets.later.push_back({item, verdict.at});
    }
  }
  return sets;
}

AllocSet without_old_terminal(const ReconcileInput& input, const AllocSet& allocs) {
  if (!input.batch) return allocs;
  AllocSet out;
  for (const JobAlloc& item : allocs) {
    const bool old = item.job == nullptr || item.job->version() < input.job->version() ||
                     item.job->create_index() < input.job->create_index();
    if (!(old && model::terminal(*item.alloc))) out.push_back(item);
  }
  return out;
}

}  // namespace steppe::scheduler
