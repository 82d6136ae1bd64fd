#include <algorithm>

#include "agent/scheduler/reconciler.h"
#include "agent/schema/alloc.pb.h"
#include "init/base/ids.h"

namespace steppe::scheduler {

void Reconciler::begin_deployment_state(GroupState& g) {
  if (current_ != nullptr) {
    if (const auto it = current_->task_groups().find(g.name); it != current_->task_groups().end()) {
      g.existing_deployment = true;
      g.deployment = it->second;
      return;
    }
  }
  if (!g.has_update()) return;
  const auto& update = g.group->update();
  g.deployment.set_auto_revert(update.auto_revert());
  g.deployment.set_auto_promote(update.auto_promote());
  g.deployment.set_progress_deadline(update.progress_deadline());
  g.deployment.set_desired_total(g.group->count());
}

void Reconciler::place_canaries(GroupState& g, NameIndex& names) {
  const auto wanted = static_cast<uint64_t>(g.has_update() ? std::max<int64_t>(g.group->update().canary(), 0) : 0);
  const bool promoted = g.existing_deployment && g.deployment.promoted();
  g.require_canary = !in_.batch && !g.destructive.empty() && g.canaries.size() < wanted && !promoted;
  if (g.require_canary) {
    if (!g.existing_deployment) g.deployment.set_desired_canaries(static_cast<int64_t>(wanted));
    if (!paused_ && !failed_) {
      const uint64_t missing = wanted - g.canaries.size();
      // Canaries that are being rescheduled come back by themselves.
      const auto returning = static_cast<uint64_t>(std::ranges::count_if(g.reschedule_now, [&](const DueNow& due) {
        return contains(g.canaries, *due.alloc.alloc);
      }));
      for (std::string& name : names.next_canaries(missing - std::min(missing, returning), g.canaries, g.destructive)) {
        PlacementAsk ask;
        ask.group = g.name;
        ask.name = std::move(name);
        ask.canary = true;
        out_.place.push_back(std::move(ask));
        g.desired->set_canary(g.desired->canary() + 1);
      }
    }
  }
  g.canarying = g.deployment.desired_canaries() != 0 && !g.deployment.promoted();
  if (g.canarying) g.untainted = without(g.untainted, g.canaries);
}

uint64_t Reconciler::update_limit(const GroupState& g) const {
  if (!g.has_update() || g.destructive.size() + g.migrate.size() == 0) return g.count();
  if (paused_ || failed_ || g.canarying) return 0;
  auto limit = static_cast<uint64_t>(g.group->update().max_parallel());
  if (current_ == nullptr) return limit;
  for (const JobAlloc& item : g.all) {
    if (item.alloc->deployment_id() != current_->id()) continue;
    const auto& status = item.alloc->deployment_status();
    if (status.has_healthy() && !status.healthy()) return 0;
    const bool unknown = !item.alloc->has_deployment_status() || !status.has_healthy();
    if (unknown && limit > 0) --limit;
  }
  return limit;
}

void Reconciler::create_deployment(const GroupState& g) {
  const bool wanted = in_.job->type() == "service" && g.has_update() && !g.existing_deployment &&
                      current_ == nullptr && g.deployment.desired_total() > 0;
  if (!wanted) return;
  const bool updating = !g.destructive.empty() || !g.in_place.empty();
  const bool had_running = std::ranges::any_of(g.all, [&](const JobAlloc& item) {
    return item.job != nullptr && item.job->version() == in_.job->version() &&
           item.job->create_index() == in_.job->create_index();
  });
  if (had_running && !updating) return;
  if (!out_.new_deployment) {
    out_.new_deployment = true;
    auto& d = out_.deployment;
    d.set_id(Uuid::random(rng_).text());
    d.set_namespace_(in_.job->namespace_());
    d.set_job_id(in_.job->id());
    d.set_job_version(in_.job->version());
    d.set_job_modify_index(in_.job->modify_index());
    d.set_job_spec_modify_index(in_.job->job_modify_index());
    d.set_job_create_index(in_.job->create_index());
    d.set_status("running");
    d.set_status_description("Deployment is running");
    d.set_eval_priority(in_.eval->priority());
    d.set_create_time(in_.now.unix_ns);
    d.set_modify_time(in_.now.unix_ns);
  }
  (*out_.deployment.mutable_task_groups())[g.name] = g.deployment;
}

bool Reconciler::group_complete(const GroupState& g) const {
  const size_t todo = g.destructive.size() + g.in_place.size() + g.migrate.size() + g.reschedule_now.size() +
                      g.reschedule_later.size() + g.place.size();
  if (todo != 0 || g.require_canary) return false;
  if (current_ == nullptr || !g.existing_deployment) return true;
  const auto& state = g.deployment;
  if (state.healthy_allocs() < std::max(state.desired_total(), state.desired_canaries())) return false;
  return state.desired_canaries() == 0 || state.promoted();
}

}  // namespace steppe::scheduler
