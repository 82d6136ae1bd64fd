#include "agent/scheduler/reconcile.h"

#include <algorithm>

#include "agent/model/alloc_status.h"
#include "agent/scheduler/reconciler.h"
#include "agent/schema/alloc.pb.h"

namespace steppe::scheduler {

ReconcileResult reconcile(const ReconcileInput& input, Rng& rng) { return Reconciler(input, rng).run(); }

bool deployment_active(const schema::Deployment& deployment) {
  const std::string& status = deployment.status();
  return status != "failed" && status != "successful" && status != "cancelled";
}

ReconcileResult Reconciler::run() {
  cancel_unneeded_deployments();
  if (model::job_stopped(in_.job)) {
    stop_whole_job();
    return std::move(out_);
  }
  if (current_ != nullptr) {
    const std::string& status = current_->status();
    paused_ = status == "paused" || status == "pending" || status == "initializing";
    failed_ = status == "failed";
  }
  std::map<std::string, AllocSet> by_group;
  for (const auto& group : in_.job->task_groups()) by_group[group.name()];
  for (const JobAlloc& item : in_.allocs) by_group[item.alloc->task_group()].push_back(item);
  bool complete = true;
  for (auto& [name, allocs] : by_group) {
    sort_allocs(allocs);
    complete = compute_group(name, allocs) && complete;
  }
  finish_deployments(complete);
  return std::move(out_);
}

void Reconciler::cancel_unneeded_deployments() {
  const schema::Deployment* d = in_.deployment;
  if (d == nullptr) return;
  const auto cancel = [&](std::string_view why) {
    auto& update = out_.deployment_updates.emplace_back();
    update.set_deployment_id(d->id());
    update.set_status("cancelled");
    update.set_status_description(std::string(why));
    update.set_updated_at(in_.now.unix_ns);
  };
  if (model::job_stopped(in_.job)) {
    if (deployment_active(*d)) cancel("Cancelled because job is stopped");
    old_ = d;
    return;
  }
  if (d->job_create_index() != in_.job->create_index() || d->job_version() != in_.job->version()) {
    if (deployment_active(*d)) cancel("Cancelled due to newer version of job");
    old_ = d;
    return;
  }
  if (d->status() == "successful" || d->status() == "cancelled") {
    old_ = d;
    return;
  }
  current_ = d;
}

void Reconciler::stop_whole_job() {
  std::map<std::string, AllocSet> by_group;
  for (const JobAlloc& item : in_.allocs) by_group[item.alloc->task_group()].push_back(item);
  for (auto& [name, allocs] : by_group) {
    sort_allocs(allocs);
    stop_group(name, allocs);
  }
}

void Reconciler::stop_group(const std::string& name, const AllocSet& allocs) {
  auto& desired = out_.desired[name];
  for (const JobAlloc& item : allocs) {
    if (model::server_terminal(*item.alloc)) continue;
    const auto fate = in_.tainted.find(item.alloc->node_id());
    const bool down = fate != in_.tainted.end() && fate->second == NodeFate::kDown;
    if (model::client_terminal(*item.alloc)) {
      // It has ended by itself; told to stop so that nothing reschedules it.
      if (item.alloc->client_status() != "failed") continue;
      stop(item, kAllocNotNeeded);
    } else if (down) {
      stop(item, kAllocLost, "lost");
    } else {
      stop(item, kAllocNotNeeded);
    }
    desired.set_stop(desired.stop() + 1);
  }
}

bool Reconciler::compute_group(const std::string& name, const AllocSet& all) {
  GroupState g;
  g.name = name;
  g.group = model::find_group(*in_.job, name);
  g.desired = &out_.desired[name];
  if (g.group == nullptr) {
    stop_group(name, all);
    return true;
  }
  begin_deployment_state(g);
  sort_group(g, all);
  AllocSet keeping = merged(g.untainted, merged(g.migrate, g.lost));
  for (const DueNow& due : g.reschedule_now) keeping = merged(keeping, {due.alloc});
  NameIndex names(in_.job->id(), name, g.count(), keeping);
  g.canarying = g.existing_deployment && g.deployment.desired_canaries() != 0 && !g.deployment.promoted();
  stop_excess(g, names);
  compute_updates(g);
  if (g.canarying) g.untainted = without(g.untainted, g.canaries);
  place_canaries(g, names);
  const uint64_t limit = update_limit(g);
  compute_placements(g, names);
  const bool ready = !paused_ && !failed_ && !g.canarying;
  uint64_t left = limit;
  if (ready) left -= std::min<uint64_t>(left, g.place.size());
  commit_placements(g);
  commit_destructive(g, ready ? left : 0);
  commit_migrations(g);
  create_deployment(g);
  return group_complete(g);
}

void Reconciler::sort_group(GroupState& g, const AllocSet& all) {
  g.all = without_old_terminal(in_, all);
  stop_canaries(g);
  TaintSets taint = sort_by_taint(in_, g.all);
  g.desired->set_ignore(g.desired->ignore() + taint.ignored.size());
  g.desired->set_reconnect(taint.reconnecting.size());
  g.migrate = std::move(taint.migrate);
  g.lost = merged(taint.lost, taint.expired);
  g.untainted = std::move(taint.untainted);
  handle_reconnecting(g, taint.reconnecting);

  RescheduleSets due = sort_by_reschedule(in_, current_, g.untainted, RescheduleOf::kFailed);
  // A lost one whose replacement is still held back keeps its slot.
  for (const JobAlloc& item : g.untainted) {
    if (item.alloc->client_status() == "lost" && replacement_held_until(in_, item)) g.lost_held.push_back(item);
  }
  g.untainted = merged(due.untainted, {});
  g.reschedule_now = std::move(due.now);
  g.reschedule_later = std::move(due.later);
  make_followups(g.reschedule_later, "alloc-failure", "created for delayed rescheduling");
  g.desired->set_reschedule_now(g.reschedule_now.size());
  g.desired->set_reschedule_later(g.reschedule_later.size());
  handle_disconnecting(g, taint.disconnecting);
}

void Reconciler::compute_updates(GroupState& g) {
  for (const JobAlloc& item : g.untainted) {
    const bool canary = contains(g.canaries, *item.alloc);
    switch (item.job == nullptr ? model::UpdateKind::kDestructive : in_.update_kind(item, *g.group)) {
      case model::UpdateKind::kNone:
        g.desired->set_ignore(g.desired->ignore() + 1);
        break;
      case model::UpdateKind::kInPlace:
        // What has ended learns nothing from a new job.
        if (model::terminal(*item.alloc)) {
          g.desired->set_ignore(g.desired->ignore() + 1);
        } else {
          g.in_place.push_back(item);
        }
        break;
      case model::UpdateKind::kDestructive:
        if (canary && g.canarying) {
          g.desired->set_ignore(g.desired->ignore() + 1);
        } else {
          g.destructive.push_back(item);
        }
        break;
    }
  }
  g.desired->set_in_place_update(g.in_place.size());
  out_.in_place.insert(out_.in_place.end(), g.in_place.begin(), g.in_place.end());
}

const schema::Job* Reconciler::newest_old_job(const GroupState& g) const {
  const schema::Job* newest = nullptr;
  for (const JobAlloc& item : g.all) {
    if (item.job == nullptr || item.job->version() >= in_.job->version()) continue;
    if (item.job->create_index() != in_.job->create_index()) continue;
    if (model::find_group(*item.job, g.name) == nullptr) continue;
    if (newest == nullptr || item.job->version() > newest->version()) newest = item.job;
  }
  return newest;
}

PlacementAsk Reconciler::replacement(const GroupState& g, const JobAlloc& previous) const {
  PlacementAsk ask;
  ask.group = g.name;
  ask.name = previous.alloc->name();
  ask.previous = previous;
  ask.canary = g.canarying && previous.alloc->deployment_status().canary() && current_ != nullptr &&
               previous.alloc->deployment_id() == current_->id();
  if (g.canarying && !ask.canary) {
    const bool old = previous.job != nullptr && previous.job->version() < in_.job->version() &&
                     model::find_group(*previous.job, g.name) != nullptr;
    ask.old_job = old ? previous.job : newest_old_job(g);
  }
  return ask;
}

void Reconciler::compute_placements(GroupState& g, NameIndex& names) {
  uint64_t existing = g.untainted.size() + g.migrate.size() + g.lost_held.size();
  for (const DueNow& due : g.reschedule_now) {
    PlacementAsk ask = replacement(g, due.alloc);
    if (!ask.canary && existing >= g.count()) {
      // Its slot is gone or taken: it ends here.
      if (due.alloc.alloc->client_status() == "failed") {
        stop(due.alloc, kAllocNotNeeded);
        g.desired->set_stop(g.desired->stop() + 1);
      }
      continue;
    }
    existing += ask.canary ? 0 : 1;
    ask.reschedule = true;
    ask.reschedule_delay = due.delay;
    g.place.push_back(std::move(ask));
  }
  for (const JobAlloc& item : g.lost) {
    if (existing >= g.count()) break;
    if (contains(g.lost_held, *item.alloc)) continue;
    // A batch alloc that was done when its node went away stays done.
    if (in_.batch && model::ran_successfully(*item.alloc)) continue;
    PlacementAsk ask = replacement(g, item);
    ask.lost = true;
    g.place.push_back(std::move(ask));
    ++existing;
  }
  if (existing >= g.count()) return;
  for (std::string& name : names.next(g.count() - existing)) {
    PlacementAsk ask;
    ask.group = g.name;
    ask.name = std::move(name);
    if (g.canarying) ask.old_job = newest_old_job(g);
    g.place.push_back(std::move(ask));
  }
}

void Reconciler::commit_placements(GroupState& g) {
  const bool ready = !paused_ && !failed_ && !g.canarying;
  uint64_t placed = 0;
  for (PlacementAsk& ask : g.place) {
    const bool of_failed = failed_ && current_ != nullptr && ask.previous.alloc != nullptr &&
                           ask.previous.alloc->deployment_id() == current_->id();
    // A deployment that is held up still gets replacements for what was lost or is to be rescheduled.
    if (!ready && !ask.lost && !(ask.reschedule && !of_failed)) continue;
    // Stopped with the placement, not before: one that cannot be replaced stays, and is tried again.
    ask.stop_previous = ask.reschedule && !model::server_terminal(*ask.previous.alloc) &&
                        ask.previous.alloc->client_status() == "failed";
    ++placed;
    out_.place.push_back(ask);
  }
  g.desired->set_place(g.desired->place() + placed);
}

void Reconciler::commit_destructive(GroupState& g, uint64_t limit) {
  const uint64_t now = std::min<uint64_t>(limit, g.destructive.size());
  for (uint64_t i = 0; i < now; ++i) {
    DestructiveAsk ask;
    ask.stop = {g.destructive[i], kAllocNotNeeded, {}, {}};
    ask.place.group = g.name;
    ask.place.name = g.destructive[i].alloc->name();
    ask.place.previous = g.destructive[i];
    out_.destructive.push_back(std::move(ask));
  }
  g.desired->set_destructive_update(g.desired->destructive_update() + now);
  g.desired->set_ignore(g.desired->ignore() + g.destructive.size() - now);
}

void Reconciler::commit_migrations(GroupState& g) {
  for (const JobAlloc& item : g.migrate) {
    stop(item, kAllocMigrating);
    if (item.alloc->desired_transition().migrate_disable_placement()) {
      g.desired->set_stop(g.desired->stop() + 1);
      continue;
    }
    out_.place.push_back(replacement(g, item));
    g.desired->set_migrate(g.desired->migrate() + 1);
  }
}

void Reconciler::finish_deployments(bool complete) {
  if (current_ != nullptr && complete && deployment_active(*current_)) {
    auto& update = out_.deployment_updates.emplace_back();
    update.set_deployment_id(current_->id());
    update.set_status("successful");
    update.set_status_description("Deployment completed successfully");
    update.set_updated_at(in_.now.unix_ns);
  }
  if (!out_.new_deployment) return;
  bool promotion = false;
  bool automatic = true;
  for (const auto& [name, state] : out_.deployment.task_groups()) {
    if (state.desired_canaries() == 0) continue;
    promotion = true;
    automatic = automatic && state.auto_promote();
  }
  if (!promotion) return;
  out_.deployment.set_status_description(automatic ? "Deployment is running pending automatic promotion"
                                                   : "Deployment is running but requires manual promotion");
}

}  // namespace steppe::scheduler
