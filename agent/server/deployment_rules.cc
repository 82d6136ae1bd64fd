#include "agent/server/deployment_rules.h"

#include <algorithm>
#include <format>

#include "agent/model/reschedule.h"
#include "agent/model/update_kind.h"
#include "agent/schema/alloc.pb.h"
#include "agent/schema/job.pb.h"
#include "agent/schema/plan.pb.h"

namespace steppe::server {

using Act = DeploymentVerdict::Act;

namespace {

bool unhealthy(const schema::Allocation& alloc) {
  return alloc.has_deployment_status() && alloc.deployment_status().has_healthy() && !alloc.deployment_status().healthy();
}

// A group has what it needs for now: its canaries while they are not promoted, else all of it.
bool enough_healthy(const schema::DeploymentState& group) {
  const bool canarying = group.desired_canaries() > 0 && !group.promoted();
  return group.healthy_allocs() >= (canarying ? group.desired_canaries() : group.desired_total());
}

void fail(DeploymentVerdict& verdict, std::string_view why, bool rollback) {
  if (verdict.act != Act::kFail) verdict.description = why;
  verdict.act = Act::kFail;
  verdict.rollback = verdict.rollback || rollback;
}

void judge_alloc(const DeploymentLook& look, const schema::Allocation& alloc, DeploymentVerdict& verdict) {
  const auto group = look.deployment->task_groups().find(alloc.task_group());
  if (group == look.deployment->task_groups().end() || !alloc.has_deployment_status()) return;
  const uint64_t changed = alloc.deployment_status().modify_index();
  if (changed > look.seen_index && alloc.deployment_status().has_healthy()) {
    verdict.seen_index = std::max(verdict.seen_index, changed);
    if (verdict.act == Act::kNone) verdict.act = Act::kEvaluate;
  }
  if (!unhealthy(alloc)) return;
  const schema::DeploymentState& state = group->second;
  if (state.progress_deadline() == 0) {
    fail(verdict, kDeploymentFailedAllocs, state.auto_revert());
    return;
  }
  if (!alloc.next_allocation().empty() || alloc.desired_status() != "run" || alloc.desired_transition().reschedule()) return;
  const schema::TaskGroup* task_group = model::find_group(*look.job, alloc.task_group());
  if (task_group == nullptr) return;
  const schema::ReschedulePolicy& policy = task_group->reschedule_policy();
  const schema::RescheduleTracker* tracker = alloc.has_reschedule_tracker() ? &alloc.reschedule_tracker() : nullptr;
  if (!model::reschedule_enabled(policy) || !model::attempts_left(policy, tracker, look.now)) {
    fail(verdict, kDeploymentFailedAllocs, state.auto_revert());
    return;
  }
  verdict.reschedule.push_back(alloc.id());
}

void judge_progress(const DeploymentLook& look, DeploymentVerdict& verdict) {
  if (look.deployment->status() == "paused") return;
  for (const auto& [name, group] : look.deployment->task_groups()) {
    if (group.progress_deadline() == 0 || group.require_progress_by() == 0 || enough_healthy(group)) continue;
    const WallTime by{group.require_progress_by()};
    if (by <= look.now) {
      fail(verdict, kDeploymentProgressDeadline, group.auto_revert());
    } else if (!verdict.deadline || by < *verdict.deadline) {
      verdict.deadline = by;
    }
  }
}

bool auto_promotable(const schema::Deployment& deployment) {
  if (deployment.status() == "paused") return false;
  for (const auto& [name, group] : deployment.task_groups()) {
    if (group.desired_canaries() == 0 || group.promoted()) continue;
    if (!group.auto_promote() || group.placed_canaries_size() < group.desired_canaries() || group.healthy_allocs() < group.desired_canaries()) return false;
  }
  return true;
}

}  // namespace

bool needs_promotion(const schema::Deployment& deployment) {
  return std::ranges::any_of(deployment.task_groups(), [](const auto& group) { return group.second.desired_canaries() > 0 && !group.second.promoted(); });
}

DeploymentVerdict judge_deployment(const DeploymentLook& look) {
  DeploymentVerdict verdict{.seen_index = look.seen_index};
  const std::string& status = look.deployment->status();
  if (status == "failed" || status == "successful" || status == "cancelled") return verdict;
  for (const schema::Allocation* alloc : look.allocs) judge_alloc(look, *alloc, verdict);
  judge_progress(look, verdict);
  if (verdict.act == Act::kFail) {
    verdict.reschedule.clear();
    return verdict;
  }
  if (needs_promotion(*look.deployment) && auto_promotable(*look.deployment)) verdict.act = Act::kPromote;
  if (!verdict.reschedule.empty() && verdict.act == Act::kNone) verdict.act = Act::kEvaluate;
  return verdict;
}

Rollback choose_rollback(std::string_view why, const schema::Job& current, const std::vector<schema::Job>& versions) {
  const auto stable = std::ranges::find_if(versions, [](const schema::Job& job) { return job.stable(); });
  if (stable == versions.end()) return {nullptr, std::format("{} - no stable job version to auto revert to", why)};
  if (!model::spec_changed(current, *stable)) {
    return {nullptr, std::format("{} - not rolling back to stable job version {} as current job has same specification", why, stable->version())};
  }
  return {&*stable, std::format("{} - rolling back to job version {}", why, stable->version())};
}

}  // namespace steppe::server
