#include <algorithm>
#include <limits>
#include <set>

#include "agent/model/alloc_status.h"
#include "agent/scheduler/reconciler.h"
#include "agent/schema/alloc.pb.h"
#include "init/base/ids.h"

namespace steppe::scheduler {
namespace {

double score_on_node(const schema::Allocation& alloc) {
  for (const auto& meta : alloc.metrics().score_meta_data()) {
    if (meta.node_id() == alloc.node_id()) return meta.norm_score();
  }
  return 0;
}

// When the first task started; the far future when none did.
int64_t running_since(const schema::Allocation& alloc) {
  int64_t since = std::numeric_limits<int64_t>::max();
  for (const auto& [name, task] : alloc.task_states()) {
    if (task.started_at() > 0) since = std::min(since, task.started_at());
  }
  return since;
}

schema::Allocation with_state(const schema::Allocation& alloc, std::string_view client_status, WallTime now) {
  schema::Allocation out = alloc;
  out.set_client_status(std::string(client_status));
  auto& state = *out.add_alloc_states();
  state.set_field("ClientStatus");
  state.set_value(std::string(client_status));
  state.set_time(now.unix_ns);
  return out;
}

AllocSet by_ids(const AllocSet& allocs, const std::set<std::string>& ids) {
  AllocSet out;
  for (const JobAlloc& item : allocs) {
    if (ids.contains(item.alloc->id())) out.push_back(item);
  }
  return out;
}

std::set<std::string> unpromoted_canaries(const schema::Deployment& deployment, const std::string& group) {
  const auto it = deployment.task_groups().find(group);
  if (it == deployment.task_groups().end() || it->second.promoted()) return {};
  return {it->second.placed_canaries().begin(), it->second.placed_canaries().end()};
}

}  // namespace

void Reconciler::stop(const JobAlloc& item, std::string_view description, std::string_view client_status,
                      std::string followup) {
  out_.stop.push_back({item, description, client_status, std::move(followup)});
}

void Reconciler::stop_all(const AllocSet& allocs, std::string_view description, std::string_view client_status) {
  for (const JobAlloc& item : allocs) stop(item, description, client_status);
}

void Reconciler::stop_canaries(GroupState& g) {
  std::set<std::string> unwanted;
  if (old_ != nullptr) unwanted.merge(unpromoted_canaries(*old_, g.name));
  if (current_ != nullptr && failed_) unwanted.merge(unpromoted_canaries(*current_, g.name));
  AllocSet stopping;
  for (const JobAlloc& item : by_ids(g.all, unwanted)) {
    if (!model::terminal(*item.alloc)) stopping.push_back(item);
  }
  stop_all(stopping, kAllocNotNeeded);
  g.desired->set_stop(g.desired->stop() + stopping.size());
  g.all = without(g.all, stopping);
  if (current_ == nullptr) return;
  const auto state = current_->task_groups().find(g.name);
  if (state == current_->task_groups().end()) return;
  const std::set<std::string> placed(state->second.placed_canaries().begin(), state->second.placed_canaries().end());
  AllocSet candidates;
  for (const JobAlloc& item : by_ids(g.all, placed)) {
    // One that was replaced, or told to stop, is a canary no more.
    if (!model::server_terminal(*item.alloc) && item.alloc->client_status() != "lost") candidates.push_back(item);
  }
  const TaintSets taint = sort_by_taint(in_, candidates);
  stop_all(taint.migrate, kAllocMigrating);
  stop_all(taint.lost, kAllocLost, "lost");
  g.desired->set_stop(g.desired->stop() + taint.migrate.size() + taint.lost.size());
  g.all = without(without(g.all, taint.migrate), taint.lost);
  g.canaries = merged(taint.untainted, taint.ignored);
}

uint64_t Reconciler::stop_named(GroupState& g, AllocSet& from, const std::vector<std::string>& names, uint64_t most,
                                NameIndex& index) {
  const std::set<std::string> wanted(names.begin(), names.end());
  AllocSet stopped;
  // From the highest index down, and of two with one name the younger one.
  for (auto it = from.rbegin(); it != from.rend() && stopped.size() < most; ++it) {
    if (model::terminal(*it->alloc) || (!wanted.empty() && !wanted.contains(it->alloc->name()))) continue;
    stopped.push_back(*it);
    index.release(it->alloc->name());
    stop(*it, kAllocNotNeeded);
  }
  from = without(from, stopped);
  g.desired->set_stop(g.desired->stop() + stopped.size());
  return stopped.size();
}

uint64_t Reconciler::stop_duplicates(GroupState& g, uint64_t most, NameIndex& index) {
  std::set<std::string> seen;
  AllocSet stopped;
  for (const JobAlloc& item : g.untainted) {
    if (model::terminal(*item.alloc) || seen.insert(item.alloc->name()).second || stopped.size() == most) continue;
    stopped.push_back(item);
    index.release(item.alloc->name());
    stop(item, kAllocNotNeeded);
  }
  g.untainted = without(g.untainted, stopped);
  g.desired->set_stop(g.desired->stop() + stopped.size());
  return stopped.size();
}

void Reconciler::stop_excess(GroupState& g, NameIndex& names) {
  std::vector<DueLater> held;
  for (const JobAlloc& item : g.lost) {
    if (const auto until = replacement_held_until(in_, item)) held.push_back({item, *until});
  }
  make_followups(held, "alloc-failure", "created for delayed rescheduling");
  for (const DueLater& due : held) g.lost_held.push_back(due.alloc);
  for (const JobAlloc& item : g.lost) {
    std::string followup;
    if (const auto it = out_.followup_of.find(item.alloc->id()); it != out_.followup_of.end()) {
      followup = it->second;
      out_.followup_of.erase(it);
    }
    stop(item, kAllocLost, "lost", std::move(followup));
  }
  g.desired->set_stop(g.desired->stop() + g.lost.size());

  AllocSet kept_aside;
  if (g.canarying) {
    for (const JobAlloc& item : g.untainted) {
      if (contains(g.canaries, *item.alloc)) kept_aside.push_back(item);
    }
    g.untainted = without(g.untainted, kept_aside);
  }
  const uint64_t have = g.untainted.size() + g.migrate.size();
  uint64_t remove = have > g.count() ? have - g.count() : 0;
  if (remove > 0 && !g.canarying && !g.canaries.empty()) {
    // The old ones whose names promoted canaries took over go first.
    std::vector<std::string> canary_names;
    for (const JobAlloc& item : g.canaries) canary_names.push_back(item.alloc->name());
    AllocSet others = without(g.untainted, g.canaries);
    const AllocSet before = others;
    remove -= stop_named(g, others, canary_names, remove, names);
    g.untainted = without(g.untainted, without(before, others));
  }
  if (remove > 0) remove -= stop_named(g, g.migrate, {}, remove, names);
  if (remove > 0) remove -= stop_duplicates(g, remove, names);
  if (remove > 0) remove -= stop_named(g, g.untainted, names.highest(remove), remove, names);
  // What the names did not cover.
  if (remove > 0) stop_named(g, g.untainted, {}, remove, names);
  g.untainted = merged(g.untainted, kept_aside);
}

void Reconciler::handle_disconnecting(GroupState& g, const AllocSet& disconnecting) {
  if (disconnecting.empty()) return;
  std::vector<DueLater> timeouts;
  for (const JobAlloc& item : disconnecting) timeouts.push_back({item, in_.now + lost_after(item)});
  make_followups(timeouts, "max-disconnect-timeout", "created for delayed disconnect timeout");
  for (const JobAlloc& item : disconnecting) {
    schema::Allocation update = with_state(*item.alloc, "unknown", in_.now);
    update.set_client_description(std::string(kAllocUnknown));
    const auto it = out_.followup_of.find(item.alloc->id());
    if (it != out_.followup_of.end()) {
      update.set_followup_eval_id(it->second);
      out_.followup_of.erase(it);
    }
    out_.disconnect_updates.push_back(std::move(update));
    g.desired->set_disconnect(g.desired->disconnect() + 1);
  }
  const RescheduleSets due = sort_by_reschedule(in_, current_, disconnecting, RescheduleOf::kDisconnecting);
  g.reschedule_now.insert(g.reschedule_now.end(), due.now.begin(), due.now.end());
  g.untainted = merged(g.untainted, due.untainted);
}

bool Reconciler::keeps_original(const JobAlloc& original, const JobAlloc& replacement) const {
  const schema::TaskGroup* group = model::find_group(*original.job, original.alloc->task_group());
  const std::string strategy = group->has_disconnect() && !group->disconnect().reconcile().empty()
                                   ? group->disconnect().reconcile()
                                   : std::string("best_score");
  if (strategy == "keep_original") return true;
  if (strategy == "keep_replacement") return false;
  if (strategy == "longest_running") return running_since(*original.alloc) <= running_since(*replacement.alloc);
  const bool runs = replacement.alloc->client_status() == "running" || original.alloc->client_status() != "running";
  return !(runs && score_on_node(*replacement.alloc) > score_on_node(*original.alloc));
}

void Reconciler::handle_reconnecting(GroupState& g, const AllocSet& reconnecting) {
  for (const JobAlloc& item : reconnecting) {
    const schema::Allocation& alloc = *item.alloc;
    const auto successor = std::ranges::find_if(g.untainted, [&](const JobAlloc& other) {
      return other.alloc != &alloc && other.alloc->name() == alloc.name() && !model::terminal(*other.alloc);
    });
    const bool replaced = successor != g.untainted.end();
    const bool old = item.job == nullptr || item.job->version() < in_.job->version() ||
                     item.job->create_index() != in_.job->create_index();
    if (alloc.client_status() == "failed" && !replaced && !old) {
      g.reschedule_now.push_back({item, Duration::zero()});
      continue;
    }
    const bool newer_successor = replaced && successor->job != nullptr && item.job != nullptr &&
                                 successor->job->version() > item.job->version();
    if (alloc.client_status() == "failed" || old || newer_successor) {
      stop(item, alloc.client_status() == "failed" ? kAllocRescheduled : kAllocNotNeeded);
      g.desired->set_stop(g.desired->stop() + 1);
      continue;
    }
    if (replaced && !keeps_original(item, *successor)) {
      stop(item, kAllocReconnected);
      g.desired->set_stop(g.desired->stop() + 1);
      continue;
    }
    if (replaced) {
      const JobAlloc loser = *successor;
      stop(loser, kAllocReconnected);
      g.desired->set_stop(g.desired->stop() + 1);
      g.untainted = without(g.untainted, {loser});
    }
    out_.reconnect_updates.push_back(with_state(alloc, alloc.client_status(), in_.now));
    g.untainted = merged(g.untainted, {item});
  }
}

void Reconciler::make_followups(const std::vector<DueLater>& later, std::string_view trigger,
                                std::string_view description) {
  std::vector<DueLater> ordered = later;
  std::ranges::stable_sort(ordered, {}, [](const DueLater& due) { return due.at; });
  WallTime window{};
  for (const DueLater& due : ordered) {
    const bool fits = !out_.followup_evals.empty() && out_.followup_evals.back().triggered_by() == trigger &&
                      window.unix_ns != 0 && due.at - window < kFollowupWindow;
    if (!fits) {
      window = due.at;
      auto& eval = out_.followup_evals.emplace_back();
      eval.set_id(Uuid::random(rng_).text());
      eval.set_namespace_(in_.eval->namespace_());
      eval.set_priority(in_.eval->priority());
      eval.set_type(in_.job->type());
      eval.set_triggered_by(std::string(trigger));
      eval.set_job_id(in_.eval->job_id());
      eval.set_job_modify_index(in_.eval->job_modify_index());
      eval.set_status("pending");
      eval.set_status_description(std::string(description));
      eval.set_wait_until(due.at.unix_ns);
      eval.set_previous_eval(in_.eval->id());
      eval.set_create_time(in_.now.unix_ns);
      eval.set_modify_time(in_.now.unix_ns);
    }
    out_.followup_of[due.alloc.alloc->id()] = out_.followup_evals.back().id();
  }
}

}  // namespace steppe::scheduler
