#include "agent/server/garbage.h"

#include <algorithm>
#include <set>
#include <string>

#include "agent/model/reschedule.h"
#include "agent/model/update_kind.h"
#include "agent/schema/alloc.pb.h"
#include "agent/schema/job.pb.h"
#include "agent/schema/log.pb.h"
#include "agent/schema/plan.pb.h"
#include "agent/state/job_key.h"

namespace steppe::server {

using state::Snapshot;

namespace {

// Ids of 36 bytes: two thousand kilobytes at most in an entry.
constexpr size_t kMaxIdsPerEntry = 40'000;

struct Garbage {
  std::set<EvalId> evals;
  std::set<AllocId> allocs;
  std::vector<DeploymentId> deployments;
  std::vector<NodeId> nodes;
  std::vector<std::pair<std::string, std::string>> jobs;
};

class Collector {
 public:
  Collector(const Snapshot& snapshot, const GcThresholds& thresholds, WallTime now, GcScope scope)
      : snapshot_(snapshot), thresholds_(thresholds), now_(now), forced_(scope == GcScope::kForced) {}

  Garbage run() {
    snapshot_.each_job({}, state::Order::kForward, [&](const state::JobView& job) {
      collect_job(job);
      return true;
    });
    snapshot_.each_eval({}, state::Order::kForward, [&](const state::EvalView& eval) {
      if (!found_.evals.contains(eval.id())) collect_eval(eval);
      return true;
    });
    snapshot_.each_deployment({}, state::Order::kForward, [&](const state::DeploymentView& deployment) {
      collect_deployment(deployment);
      return true;
    });
    snapshot_.each_node({}, state::Order::kForward, [&](const state::NodeView& node) {
      collect_node(node);
      return true;
    });
    return std::move(found_);
  }

 private:
  bool aged(int64_t unix_ns, Duration threshold) const { return forced_ || unix_ns + threshold.count() <= now_.unix_ns; }

  // What an eval leaves behind can be told from its allocs: all of them go, or (false) it stays.
  bool eval_allocs(const state::EvalView& eval, Duration threshold, std::vector<AllocId>& going) const {
    bool all = true;
    for (const state::AllocView& alloc : snapshot_.allocs_by_eval(eval.id())) {
      if (alloc_over(alloc, threshold)) {
        going.push_back(alloc.id());
      } else {
        all = false;
      }
    }
    return all;
  }

  bool alloc_over(const state::AllocView& view, Duration threshold) const {
    if (!view.terminal() || !view.client_terminal()) return false;
    if (!aged(view.modify_time(), threshold)) return false;
    const auto job = snapshot_.job(view.ns(), view.job_id());
    if (!job || job->stop() || job->status() == state::JobStatus::kDead) return true;
    if (view.desired_status() != state::DesiredStatus::kRun || view.client_status() != state::ClientStatus::kFailed) return true;
    const schema::Allocation alloc = view.decode(state::WithJob::kNo);
    if (!alloc.next_allocation().empty()) return true;
    const schema::Job spec = view.job().decode();
    const schema::TaskGroup* group = model::find_group(spec, alloc.task_group());
    if (group == nullptr || !group->has_reschedule_policy()) return true;
    // It failed and was not replaced: kept as long as it may be.
    const schema::RescheduleTracker* tracker = alloc.has_reschedule_tracker() ? &alloc.reschedule_tracker() : nullptr;
    return !model::reschedule_enabled(group->reschedule_policy()) || !model::attempts_left(group->reschedule_policy(), tracker, now_);
  }

  void collect_job(const state::JobView& job) {
    if (job.status() != state::JobStatus::kDead) return;
    const bool batch = job.type() == state::JobType::kBatch || job.type() == state::JobType::kSysBatch;
    const bool parent = job.periodic() || job.parameterized();
    if (!job.stop() && (!batch || parent)) return;
    if (!aged(job.submit_time(), thresholds_.job)) return;
    std::vector<EvalId> evals;
    std::vector<AllocId> allocs;
    for (const state::EvalView& eval : snapshot_.evals_by_job(job.ns(), job.id())) {
      if (!eval.terminal() || !aged(eval.modify_time(), thresholds_.job)) return;
      if (!eval_allocs(eval, thresholds_.job, allocs)) return;
      evals.push_back(eval.id());
    }
    for (const state::AllocView& alloc : snapshot_.allocs_by_job(job.ns(), job.id(), state::Incarnation::kAny)) {
      if (!alloc_over(alloc, thresholds_.job)) return;
      allocs.push_back(alloc.id());
    }
    found_.evals.insert(evals.begin(), evals.end());
    found_.allocs.insert(allocs.begin(), allocs.end());
    found_.jobs.emplace_back(job.ns(), job.id());
  }

  void collect_eval(const state::EvalView& eval) {
    const bool batch = eval.type() == state::JobType::kBatch || eval.type() == state::JobType::kSysBatch;
    const Duration threshold = batch ? thresholds_.batch_eval : thresholds_.eval;
    if (!eval.terminal() || !aged(eval.modify_time(), threshold)) return;
    if (batch) {
      const auto job = snapshot_.job(eval.ns(), eval.job_id());
      if (job && !(job->status() == state::JobStatus::kDead && job->stop())) {
        collect_old_versions(eval, *job, threshold);
        return;
      }
    }
    std::vector<AllocId> allocs;
    const bool all = eval_allocs(eval, threshold, allocs);
    found_.allocs.insert(allocs.begin(), allocs.end());
    if (all) found_.evals.insert(eval.id());
  }

  // The job's own allocs say what is done; those of the job that had the name before do not.
  void collect_old_versions(const state::EvalView& eval, const state::JobView& job, Duration threshold) {
    const std::vector<state::AllocView> allocs = snapshot_.allocs_by_eval(eval.id());
    size_t going = 0;
    for (const state::AllocView& alloc : allocs) {
      const bool older = alloc.job().create_index() < job.create_index() || alloc.job().version() < job.version();
      if (!older || !alloc_over(alloc, threshold)) continue;
      found_.allocs.insert(alloc.id());
      ++going;
    }
    if (going == allocs.size()) found_.evals.insert(eval.id());
  }

  void collect_deployment(const state::DeploymentView& deployment) {
    if (deployment.active() || !aged(deployment.decode().modify_time(), thresholds_.deployment)) return;
    const auto allocs = snapshot_.allocs_by_deployment(deployment.id());
    if (std::ranges::any_of(allocs, [](const state::AllocView& alloc) { return !alloc.terminal(); })) return;
    found_.deployments.push_back(deployment.id());
  }

  void collect_node(const state::NodeView& node) {
    if (node.status() != state::NodeStatus::kDown || !aged(node.status_updated_at() * 1'000'000'000, thresholds_.node)) return;
    const auto allocs = snapshot_.allocs_by_node(node.id());
    if (std::ranges::any_of(allocs, [](const state::AllocView& alloc) { return !alloc.terminal(); })) return;
    found_.nodes.push_back(node.id());
  }

  const Snapshot& snapshot_;
  const GcThresholds& thresholds_;
  WallTime now_;
  bool forced_;
  Garbage found_;
};

}  // namespace

std::vector<schema::LogGcReap> find_garbage(const Snapshot& snapshot, const GcThresholds& thresholds, WallTime now, GcScope scope) {
  const Garbage found = Collector(snapshot, thresholds, now, scope).run();
  std::vector<schema::LogGcReap> commands;
  size_t count = kMaxIdsPerEntry;
  const auto next = [&]() -> schema::LogGcReap& {
    if (count++ >= kMaxIdsPerEntry) {
      commands.emplace_back().set_unix_ns(now.unix_ns);
      count = 1;
    }
    return commands.back();
  };
  // Allocs go before the evals that made them, and those before their job: a crash in between leaves nothing without an owner.
  for (const AllocId& id : found.allocs) next().add_alloc_ids(id.text());
  for (const EvalId& id : found.evals) next().add_eval_ids(id.text());
  for (const DeploymentId& id : found.deployments) next().add_deployment_ids(id.text());
  for (const NodeId& id : found.nodes) next().add_node_ids(id.text());
  for (const auto& [ns, id] : found.jobs) {
    schema::JobKey* key = next().add_jobs();
    key->set_namespace_(ns);
    key->set_job_id(id);
  }
  return commands;
}

io::Task<endpoint::Outcome<uint64_t>> collect_garbage(Core& core, GcScope scope) {
  auto work = [snapshot = core.store.snapshot(), thresholds = core.settings.gc, now = core.loop.wall(), scope] { return find_garbage(snapshot, thresholds, now, scope); };
  const std::vector<schema::LogGcReap> commands = co_await io::run_blocking(core.loop, std::move(work));
  uint64_t index = core.commands.applied_index();
  for (const schema::LogGcReap& command : commands) {
    STEPPE_CO_TRY(const state::Outcome done, co_await core.commands.propose(schema::LOG_GC_REAP, command));
    index = done.index;
    core.metrics.count(telemetry::Metric::kGcEvals, static_cast<uint64_t>(command.eval_ids_size()));
    core.metrics.count(telemetry::Metric::kGcAllocs, static_cast<uint64_t>(command.alloc_ids_size()));
    core.log.info("garbage collected", {{"evals", command.eval_ids_size()}, {"allocs", command.alloc_ids_size()}, {"jobs", command.jobs_size()},
                                        {"deployments", command.deployment_ids_size()}, {"nodes", command.node_ids_size()}});
  }
  co_return index;
}

}  // namespace steppe::server
