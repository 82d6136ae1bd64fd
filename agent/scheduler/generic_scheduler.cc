// service and batch: what the reconciler asks for, placed.
#include "agent/model/alloc_status.h"
#include "agent/model/reschedule.h"
#include "agent/model/update_kind.h"
#include "agent/schema/alloc.pb.h"
#include "agent/scheduler/eval_run.h"

namespace steppe::scheduler {
namespace {

class GenericRun {
 public:
  explicit GenericRun(EvalRun& run) : run_(run) {}

  void operator()() {
    const AllocSet allocs = run_.load_allocs();
    const auto tainted = run_.tainted_nodes(allocs);
    run_.mark_stopped_lost(allocs, tainted);
    std::optional<schema::Deployment> deployment;
    if (const auto latest = run_.snapshot.latest_deployment(run_.eval.namespace_(), run_.eval.job_id())) {
      deployment = latest->decode();
    }
    ReconcileInput input;
    input.eval = &run_.eval;
    input.job = run_.job;
    input.allocs = allocs;
    input.deployment = deployment ? &*deployment : nullptr;
    input.tainted = tainted;
    input.batch = run_.eval.type() == "batch";
    input.now = run_.options.now;
    input.update_kind = [this](const JobAlloc& item, const schema::TaskGroup& group) { return judge(item, group); };
    ReconcileResult result = reconcile(input, run_.rng);
    if (result.new_deployment) {
      deployment_id_ = result.deployment.id();
    } else if (deployment && run_.job != nullptr && deployment_active(*deployment) &&
               deployment->job_version() == run_.job->version() &&
               deployment->job_create_index() == run_.job->create_index()) {
      deployment_id_ = deployment->id();
    }
    apply(result);
  }

 private:
  // What the alloc needs to come under the new job, its node included.
  model::UpdateKind judge(const JobAlloc& item, const schema::TaskGroup& group) {
    const schema::Job& job = *run_.job;
    if (item.job->job_modify_index() == job.job_modify_index() && item.job->create_index() == job.create_index() &&
        item.job->version() == job.version()) {
      return model::UpdateKind::kNone;
    }
    const auto known = kinds_.find({item.job, group.name()});
    const model::UpdateKind kind = known != kinds_.end()
                                       ? known->second
                                       : kinds_[{item.job, group.name()}] =
                                             model::update_kind(*item.job, job, group.name());
    if (kind == model::UpdateKind::kDestructive) return kind;
    if (model::terminal(*item.alloc)) return model::UpdateKind::kNone;
    // A new version reaches every alloc, even one of a group that did not change.
    const auto node = run_.snapshot.node(run_.view_of(*item.alloc).node_id());
    if (!node) return model::UpdateKind::kDestructive;
    if (!job_admits(job, node->datacenter(), node->pool())) return model::UpdateKind::kDestructive;
    const auto [ask, added] = asks_.try_emplace(group.name(), job, group);
    const Refusal refusal = check_node(run_.checker, ask->second, run_.cluster.node(node->ordinal()));
    return refusal.ok() ? model::UpdateKind::kInPlace : model::UpdateKind::kDestructive;
  }

  void apply(ReconcileResult& result) {
    for (const StopAsk& ask : result.stop) run_.stop(ask);
    for (const JobAlloc& item : result.in_place) update_in_place(item);
    for (schema::Allocation& update : result.disconnect_updates) keep_job(std::move(update));
    for (schema::Allocation& update : result.reconnect_updates) keep_job(std::move(update));
    remember_followups(result);
    for (const PlacementAsk& ask : result.place) ++queued_[ask.group];
    for (const DestructiveAsk& ask : result.destructive) ++queued_[ask.place.group];
    if (run_.job != nullptr) {
      for (const auto& group : run_.job->task_groups()) queued_.try_emplace(group.name(), 0);
    }
    for (const DestructiveAsk& ask : result.destructive) place_destructive(ask);
    for (const PlacementAsk& ask : result.place) place(ask);
    for (const auto& [group, count] : queued_) (*run_.out.eval.mutable_queued_allocations())[group] = count;
    if (result.new_deployment) *run_.out.plan.mutable_deployment() = std::move(result.deployment);
    for (auto& update : result.deployment_updates) *run_.out.plan.add_deployment_updates() = std::move(update);
    run_.out.followups = std::move(result.followup_evals);
    if (!deployment_id_.empty()) run_.out.eval.set_deployment_id(deployment_id_);
    run_.annotate(result.desired);
    run_.finish();
  }

  void update_in_place(const JobAlloc& item) {
    schema::Allocation update = *item.alloc;
    update.set_eval_id(run_.eval.id());
    update.set_modify_time(run_.options.now.unix_ns);
    if (update.deployment_id() != deployment_id_) {
      update.set_deployment_id(deployment_id_);
      // Its health has to be earned again.
      update.clear_deployment_status();
    }
    run_.plan.add(std::move(update));
  }

  // An update that is not about the job: the alloc stays with the version that it runs.
  void keep_job(schema::Allocation update) {
    const JobAlloc* item = run_.member(update.id());
    if (item != nullptr && item->job != nullptr) *update.mutable_job() = *item->job;
    update.set_modify_time(run_.options.now.unix_ns);
    run_.plan.add(std::move(update));
  }

  void remember_followups(const ReconcileResult& result) {
    for (const auto& [alloc_id, eval_id] : result.followup_of) {
      const JobAlloc* item = run_.member(alloc_id);
      if (item == nullptr) continue;
      schema::Allocation update = *item->alloc;
      update.set_followup_eval_id(eval_id);
      keep_job(std::move(update));
    }
  }

  GroupTable::Request request_of(const PlacementAsk& ask, const schema::TaskGroup& group) const {
    GroupTable::Request request;
    request.alloc_name = ask.name;
    request.preempt_below = run_.preempt_below();
    const schema::Allocation* previous = ask.previous.alloc;
    if (previous == nullptr) return request;
    if (ask.reschedule) {
      if (previous->client_status() == "failed") request.penalised.insert(previous->node_id());
      for (const auto& event : previous->reschedule_tracker().events()) request.penalised.insert(event.prev_node_id());
    }
    if (group.ephemeral_disk().sticky()) {
      const auto node = run_.snapshot.node(run_.view_of(*previous).node_id());
      if (node && node->placeable()) request.preferred = node->ordinal();
    }
    return request;
  }

  bool place(const PlacementAsk& ask) {
    if (run_.failed(ask.group)) {
      run_.coalesce(ask.group);
      return false;
    }
    const schema::Job& job = ask.old_job != nullptr ? *ask.old_job : *run_.job;
    const schema::TaskGroup& group = *model::find_group(job, ask.group);
    GroupTable& table = run_.table(job, group);
    auto chosen = table.select(request_of(ask, group), run_.rng);
    run_.out.scored += table.candidates().size();
    if (!chosen) {
      run_.fail_group(ask.group, table.failure());
      return false;
    }
    schema::Allocation alloc;
    alloc.set_name(ask.name);
    if (ask.old_job != nullptr) {
      *alloc.mutable_job() = *ask.old_job;
    } else if (!deployment_id_.empty()) {
      alloc.set_deployment_id(deployment_id_);
      if (ask.canary) alloc.mutable_deployment_status()->set_canary(true);
    }
    if (ask.previous.alloc != nullptr) {
      const schema::Allocation& previous = *ask.previous.alloc;
      alloc.set_previous_allocation(previous.id());
      if (ask.reschedule) {
        *alloc.mutable_reschedule_tracker() =
            model::next_tracker(previous, group.reschedule_policy(), run_.options.now, ask.reschedule_delay);
      }
      if (ask.stop_previous) run_.plan.stop(previous, kAllocRescheduled, {}, {});
    }
    run_.place(std::move(alloc), group, std::move(*chosen));
    --queued_[ask.group];
    return true;
  }

  void place_destructive(const DestructiveAsk& ask) {
    const schema::Allocation& old = *ask.stop.alloc.alloc;
    if (run_.failed(ask.place.group)) {
      run_.coalesce(ask.place.group);
      return;
    }
    const state::AllocView& view = run_.view_of(old);
    const auto ordinal = run_.cluster.columns().ordinal(view.node_id());
    const int64_t counted = view.terminal() ? 0 : 1;
    run_.stop(ask.stop);
    if (ordinal) run_.touch(*ordinal, old.task_group(), -counted);
    if (place(ask.place)) return;
    // No room for the new one: the old one goes on.
    run_.plan.undo_stop(old);
    run_.proposed.undo_stop(view);
    if (ordinal) run_.touch(*ordinal, old.task_group(), counted);
  }

  EvalRun& run_;
  std::string deployment_id_;
  std::map<std::string, int64_t> queued_;
  std::map<std::pair<const schema::Job*, std::string>, model::UpdateKind> kinds_;
  std::map<std::string, GroupAsk> asks_;
};

}  // namespace

void run_generic(EvalRun& run) { GenericRun run_once(run); run_once(); }

}  // namespace steppe::scheduler
