// system and sysbatch: one alloc of each group on every feasible node.
#include <algorithm>
#include <set>

#include "agent/model/alloc_status.h"
#include "agent/model/update_kind.h"
#include "agent/schema/alloc.pb.h"
#include "agent/scheduler/alloc_sort.h"
#include "agent/scheduler/eval_run.h"

namespace steppe::scheduler {
namespace {

class SystemRun {
 public:
  explicit SystemRun(EvalRun& run) : run_(run), sysbatch_(run.eval.type() == "sysbatch") {}

  void operator()() {
    allocs_ = run_.load_allocs();
    tainted_ = run_.tainted_nodes(allocs_);
    run_.mark_stopped_lost(allocs_, tainted_);
    load_deployment();
    const bool stopped = model::job_stopped(run_.job);
    if (!stopped) {
      for (const auto& group : run_.job->task_groups()) {
        (*run_.out.eval.mutable_queued_allocations())[group.name()] = 0;
        reconcile_group(group);
      }
    }
    for (const JobAlloc& item : allocs_) {
      const bool wanted = !stopped && model::find_group(*run_.job, item.alloc->task_group()) != nullptr;
      if (!wanted && !model::terminal(*item.alloc)) {
        stop(item, is_down(item) ? kAllocLost : kAllocNotNeeded, is_down(item) ? "lost" : "");
      }
    }
    finish_deployment();
    run_.annotate(desired_);
    run_.finish();
    split_blocked();
  }

 private:
  struct GroupWork {
    std::set<uint32_t> occupied;       // nodes that need no new alloc of the group
    std::vector<JobAlloc> destructive;
    bool had_current = false;          // some alloc already runs this version
    bool changed = false;
    int64_t unhealthy = 0, unknown = 0;
  };

  void load_deployment() {
    if (const auto latest = run_.snapshot.latest_deployment(run_.eval.namespace_(), run_.eval.job_id())) {
      deployment_ = latest->decode();
    }
    if (!deployment_) return;
    const bool stopped = model::job_stopped(run_.job);
    const bool current = !stopped && deployment_->job_version() == run_.job->version() &&
                         deployment_->job_create_index() == run_.job->create_index();
    if (!current && deployment_active(*deployment_)) {
      update_deployment("cancelled",
                        stopped ? "Cancelled because job is stopped" : "Cancelled due to newer version of job");
    }
    if (!current || deployment_->status() == "cancelled" || deployment_->status() == "successful") deployment_.reset();
  }

  void update_deployment(std::string_view status, std::string_view description) {
    auto& update = *run_.out.plan.add_deployment_updates();
    update.set_deployment_id(deployment_->id());
    update.set_status(std::string(status));
    update.set_status_description(std::string(description));
    update.set_updated_at(run_.options.now.unix_ns);
  }

  bool is_down(const JobAlloc& item) const {
    const auto it = tainted_.find(item.alloc->node_id());
    return it != tainted_.end() && it->second == NodeFate::kDown;
  }

  void stop(const JobAlloc& item, std::string_view description, std::string_view client_status) {
    run_.stop({item, description, client_status, {}});
    auto& desired = desired_[item.alloc->task_group()];
    desired.set_stop(desired.stop() + 1);
  }

  bool of_current_version(const JobAlloc& item) const {
    return item.job != nullptr && item.job->version() == run_.job->version() &&
           item.job->create_index() == run_.job->create_index();
  }

  void reconcile_group(const schema::TaskGroup& group) {
    GroupWork work;
    for (const JobAlloc& item : allocs_) {
      if (item.alloc->task_group() == group.name()) sort_alloc(item, group, work);
    }
    GroupTable& table = run_.table(*run_.job, group);
    replace(group, table, work);
    place_missing(group, table, work);
    record_deployment(group, table, work);
  }

  // Decides what becomes of an alloc that exists.
  void sort_alloc(const JobAlloc& item, const schema::TaskGroup& group, GroupWork& work) {
    auto& desired = desired_[group.name()];
    const schema::Allocation& alloc = *item.alloc;
    const auto ordinal = run_.cluster.columns().ordinal(run_.view_of(alloc).node_id());
    if (model::terminal(alloc)) {
      // A sysbatch run that ended, well or not, is over for this version.
      const bool ran = !model::server_terminal(alloc) || model::ran_successfully(alloc);
      if (sysbatch_ && ran && ordinal && of_current_version(item) && alloc.client_status() != "lost") {
        work.occupied.insert(*ordinal);
        desired.set_ignore(desired.ignore() + 1);
      }
      return;
    }
    const auto fate = tainted_.find(alloc.node_id());
    if (fate != tainted_.end()) {
      keep_or_lose(item, fate->second);
      return;
    }
    if (alloc.desired_transition().migrate()) {
      stop(item, kAllocNodeTainted, "");
      return;
    }
    if (!ordinal) return;
    const auto node = run_.snapshot.node(*ordinal);
    work.had_current = work.had_current || of_current_version(item);
    if (!node->placeable()) {
      // What runs on a node that takes nothing new stays as it is.
      work.occupied.insert(*ordinal);
      desired.set_ignore(desired.ignore() + 1);
      return;
    }
    if (!run_.table(*run_.job, group).knows(*ordinal)) {
      stop(item, kAllocNotNeeded, "");
      return;
    }
    if (!work.occupied.insert(*ordinal).second) {
      stop(item, kAllocNotNeeded, "");
      return;
    }
    judge_update(item, group, work);
  }

  void keep_or_lose(const JobAlloc& item, NodeFate fate) {
    const bool unknown = item.alloc->client_status() == "unknown";
    const auto since = unknown_since(*item.alloc);
    const bool may_wait = lost_after(item) > Duration::zero() &&
                          !(unknown && since && run_.options.now >= *since + lost_after(item));
    if (fate == NodeFate::kDisconnected && may_wait && item.alloc->client_status() == "running") {
      schema::Allocation update = *item.alloc;
      update.set_client_status("unknown");
      update.set_client_description(std::string(kAllocUnknown));
      auto& state = *update.add_alloc_states();
      state.set_field("ClientStatus");
      state.set_value("unknown");
      state.set_time(run_.options.now.unix_ns);
      if (item.job != nullptr) *update.mutable_job() = *item.job;
      run_.plan.add(std::move(update));
      auto& desired = desired_[item.alloc->task_group()];
      desired.set_disconnect(desired.disconnect() + 1);
      return;
    }
    if (fate == NodeFate::kDisconnected && may_wait && unknown) return;
    stop(item, kAllocLost, "lost");
  }

  void judge_update(const JobAlloc& item, const schema::TaskGroup& group, GroupWork& work) {
    auto& desired = desired_[group.name()];
    if (of_current_version(item)) {
      const auto& status = item.alloc->deployment_status();
      if (deployment_ && item.alloc->deployment_id() == deployment_->id()) {
        work.unhealthy += status.has_healthy() && !status.healthy();
        work.unknown += !status.has_healthy();
      }
      desired.set_ignore(desired.ignore() + 1);
      return;
    }
    work.changed = true;
    const model::UpdateKind kind = item.job == nullptr ? model::UpdateKind::kDestructive
                                                       : model::update_kind(*item.job, *run_.job, group.name());
    if (kind == model::UpdateKind::kDestructive) {
      work.destructive.push_back(item);
      return;
    }
    in_place_.push_back(item);
    desired.set_in_place_update(desired.in_place_update() + 1);
  }

  int64_t limit_of(const schema::TaskGroup& group, const GroupWork& work) const {
    const bool rolling = group.has_update() && group.update().max_parallel() > 0;
    if (!rolling || sysbatch_) return static_cast<int64_t>(work.destructive.size());
    if (deployment_ && (deployment_->status() == "failed" || deployment_->status() == "paused")) return 0;
    if (work.unhealthy > 0) return 0;
    return std::max<int64_t>(group.update().max_parallel() - work.unknown, 0);
  }

  void replace(const schema::TaskGroup& group, GroupTable& table, const GroupWork& work) {
    auto& desired = desired_[group.name()];
    int64_t left = limit_of(group, work);
    held_back_ = held_back_ || left < static_cast<int64_t>(work.destructive.size());
    for (const JobAlloc& item : work.destructive) {
      if (left-- <= 0) {
        desired.set_ignore(desired.ignore() + 1);
        continue;
      }
      const state::AllocView& view = run_.view_of(*item.alloc);
      const uint32_t ordinal = *run_.cluster.columns().ordinal(view.node_id());
      run_.stop({item, kAllocNotNeeded, {}, {}});
      run_.touch(ordinal, group.name(), -1);
      if (place_on(group, table, ordinal, &item)) {
        desired.set_destructive_update(desired.destructive_update() + 1);
        continue;
      }
      run_.plan.undo_stop(*item.alloc);
      run_.proposed.undo_stop(view);
      run_.touch(ordinal, group.name(), 1);
    }
  }

  void place_missing(const schema::TaskGroup& group, GroupTable& table, const GroupWork& work) {
    auto& desired = desired_[group.name()];
    for (const uint32_t ordinal : table.feasible().nodes) {
      if (work.occupied.contains(ordinal)) continue;
      desired.set_place(desired.place() + 1);
      // What ran there before, so that its data and its history are found.
      const JobAlloc* previous = nullptr;
      for (const JobAlloc& item : allocs_) {
        if (item.alloc->task_group() == group.name() && item.alloc->client_status() == "failed" &&
            run_.view_of(*item.alloc).node_id() == run_.cluster.columns().id(ordinal)) {
          previous = &item;
        }
      }
      place_on(group, table, ordinal, previous);
    }
  }

  bool place_on(const schema::TaskGroup& group, GroupTable& table, uint32_t ordinal, const JobAlloc* previous) {
    GroupTable::Request request;
    const std::string name = model::alloc_name(run_.job->id(), group.name(), 0);
    request.alloc_name = name;
    request.preempt_below = run_.preempt_below();
    auto chosen = table.select_on(ordinal, request, run_.rng);
    ++run_.out.scored;
    if (!chosen) {
      auto& queued = (*run_.out.eval.mutable_queued_allocations())[group.name()];
      ++queued;
      if (run_.failed(group.name())) {
        run_.coalesce(group.name());
      } else {
        run_.fail_group(group.name(), table.failure());
      }
      full_nodes_.insert(ordinal);
      return false;
    }
    schema::Allocation alloc;
    alloc.set_name(name);
    if (previous != nullptr) alloc.set_previous_allocation(previous->alloc->id());
    placed_.push_back(&run_.place(std::move(alloc), group, std::move(*chosen)));
    return true;
  }

  // One deployment per new version that has something to do.
  void record_deployment(const schema::TaskGroup& group, const GroupTable& table, const GroupWork& work) {
    const bool wanted = !sysbatch_ && group.has_update() && group.update().max_parallel() > 0;
    if (!wanted || deployment_ || (work.had_current && !work.changed)) return;
    if (table.feasible().nodes.empty()) return;
    auto& d = *run_.out.plan.mutable_deployment();
    if (d.id().empty()) {
      d.set_id(Uuid::random(run_.rng).text());
      d.set_namespace_(run_.job->namespace_());
      d.set_job_id(run_.job->id());
      d.set_job_version(run_.job->version());
      d.set_job_modify_index(run_.job->modify_index());
      d.set_job_spec_modify_index(run_.job->job_modify_index());
      d.set_job_create_index(run_.job->create_index());
      d.set_status("running");
      d.set_status_description("Deployment is running");
      d.set_eval_priority(run_.eval.priority());
      d.set_create_time(run_.options.now.unix_ns);
      d.set_modify_time(run_.options.now.unix_ns);
    }
    auto& state = (*d.mutable_task_groups())[group.name()];
    state.set_auto_revert(group.update().auto_revert());
    state.set_auto_promote(group.update().auto_promote());
    state.set_progress_deadline(group.update().progress_deadline());
    state.set_desired_total(static_cast<int64_t>(table.feasible().nodes.size()));
  }

  void finish_deployment() {
    std::string id = deployment_ ? deployment_->id() : run_.out.plan.deployment().id();
    const bool active = !deployment_ || deployment_active(*deployment_);
    if (!active) id.clear();
    for (schema::Allocation* alloc : placed_) alloc->set_deployment_id(id);
    for (const JobAlloc& item : in_place_) {
      schema::Allocation update = *item.alloc;
      update.set_eval_id(run_.eval.id());
      update.set_modify_time(run_.options.now.unix_ns);
      if (update.deployment_id() != id) {
        update.set_deployment_id(id);
        update.clear_deployment_status();
      }
      run_.plan.add(std::move(update));
    }
    if (!id.empty()) run_.out.eval.set_deployment_id(id);
    if (!deployment_ || !active || held_back_ || !placed_.empty() || !in_place_.empty()) return;
    const bool healthy = std::ranges::all_of(deployment_->task_groups(), [](const auto& entry) {
      return entry.second.healthy_allocs() >= entry.second.desired_total();
    });
    if (healthy) update_deployment("successful", "Deployment completed successfully");
  }

  // A system job waits node by node: each blocked evaluation names the node that had no room.
  void split_blocked() {
    if (!run_.out.blocked) return;
    for (const uint32_t ordinal : full_nodes_) {
      auto& blocked = run_.out.blocked_nodes.emplace_back(*run_.out.blocked);
      blocked.set_id(Uuid::random(run_.rng).text());
      blocked.set_node_id(run_.cluster.columns().id(ordinal).text());
    }
    run_.out.blocked.reset();
    if (!run_.out.blocked_nodes.empty()) run_.out.eval.set_blocked_eval(run_.out.blocked_nodes.front().id());
  }

  EvalRun& run_;
  bool sysbatch_;
  AllocSet allocs_;
  std::map<std::string, NodeFate> tainted_;
  std::optional<schema::Deployment> deployment_;
  std::map<std::string, schema::DesiredUpdates> desired_;
  std::vector<JobAlloc> in_place_;
  std::vector<schema::Allocation*> placed_;
  std::set<uint32_t> full_nodes_;
  bool held_back_ = false;
};

}  // namespace

void run_system(EvalRun& run) { SystemRun run_once(run); run_once(); }

}  // namespace steppe::scheduler
