#include "agent/scheduler/scheduler.h"

#include <algorithm>
#include <array>
#include <format>

#include "agent/model/alloc_status.h"
#include "agent/schema/alloc.pb.h"
#include "agent/scheduler/eval_run.h"
#include "init/base/ids.h"

namespace steppe::scheduler {
namespace {

constexpr std::array<std::string_view, 20> kTriggers{
    "job-register",  "job-deregister",   "periodic-job",      "node-drain",           "node-update",
    "alloc-stop",    "alloc-reschedule", "scheduled",         "rolling-update",       "deployment-watcher",
    "alloc-failure", "queued-allocs",    "preemption",        "job-scaling",          "max-disconnect-timeout",
    "reconnect",     "failed-follow-up", "max-plan-attempts", "node-pool-update",     "job-evaluate"};

bool is_system(std::string_view type) { return type == "system" || type == "sysbatch"; }
bool is_generic(std::string_view type) { return type == "service" || type == "batch"; }

size_t count_allocs(const google::protobuf::Map<std::string, schema::AllocationList>& lists) {
  size_t count = 0;
  for (const auto& [node, list] : lists) count += static_cast<size_t>(list.items_size());
  return count;
}

Outcome refused(const schema::Evaluation& eval, std::string description, WallTime now) {
  Outcome out;
  out.eval = eval;
  out.eval.set_status("failed");
  out.eval.set_status_description(std::move(description));
  out.eval.set_modify_time(now.unix_ns);
  return out;
}

}  // namespace

struct Scheduler::Memo {
  TraitCache traits;
  model::ConstraintChecker checker;
};

Scheduler::Scheduler() : memo_(std::make_unique<Memo>()) {}
Scheduler::~Scheduler() = default;

namespace {

Outcome run_eval(const schema::Evaluation& eval, const schema::Job* job, const state::Snapshot& snapshot,
                 TraitCache& traits, model::ConstraintChecker& checker, const Options& options) {
  if (std::ranges::find(kTriggers, eval.triggered_by()) == kTriggers.end()) {
    return refused(eval, std::format("scheduler cannot handle '{}' evaluation reason", eval.triggered_by()), options.now);
  }
  // The job's own type rules; an evaluation of a stopped or purged job is of type service whatever the job was.
  std::string type = eval.type();
  if (job != nullptr && job->has_type()) type = job->type();
  if (!is_system(type) && !is_generic(type)) {
    return refused(eval, std::format("no scheduler for evaluation type '{}'", type), options.now);
  }
  // Parents have no allocs of their own: their children do.
  const bool parent = job != nullptr && (model::is_periodic(*job) || model::is_parameterized(*job));
  if (parent) {
    Outcome out;
    out.eval = eval;
    out.eval.set_status("complete");
    out.eval.set_modify_time(options.now.unix_ns);
    return out;
  }
  schema::Evaluation typed = eval;
  typed.set_type(type);
  EvalRun run(typed, job, snapshot, traits, checker, options);
  if (is_system(type)) {
    run_system(run);
  } else {
    run_generic(run);
  }
  run.out.eval.set_type(eval.type());
  return std::move(run.out);
}

}  // namespace

Outcome Scheduler::schedule(const schema::Evaluation& eval, const state::Snapshot& snapshot, const Options& options) {
  std::optional<schema::Job> job;
  if (const auto view = snapshot.job(eval.namespace_(), eval.job_id())) job = view->decode();
  return run_eval(eval, job ? &*job : nullptr, snapshot, memo_->traits, memo_->checker, options);
}

Outcome Scheduler::schedule_job(const schema::Evaluation& eval, const schema::Job& job,
                                const state::Snapshot& snapshot, const Options& options) {
  return run_eval(eval, &job, snapshot, memo_->traits, memo_->checker, options);
}

bool fully_committed(const schema::Plan& plan, const schema::PlanResult& result) {
  return count_allocs(plan.node_allocation()) == count_allocs(result.node_allocation()) &&
         count_allocs(plan.node_update()) == count_allocs(result.node_update()) &&
         count_allocs(plan.node_preemptions()) == count_allocs(result.node_preemptions());
}

Attempts::Attempts(std::string_view eval_type) : limit_(eval_type == "batch" || eval_type == "sysbatch" ? 2 : 5) {}

Attempts::Next Attempts::after(const schema::Plan& plan, const schema::PlanResult& result) {
  if (fully_committed(plan, result)) return Next::kDone;
  const bool progress = count_allocs(result.node_allocation()) + count_allocs(result.node_update()) > 0 ||
                        result.has_deployment() || result.deployment_updates_size() > 0;
  used_ = progress ? 0 : used_ + 1;
  return used_ >= limit_ ? Next::kGiveUp : Next::kRetry;
}

GiveUp give_up(const schema::Evaluation& eval, const Outcome& last, int attempts, const Options& options) {
  GiveUp out;
  out.eval = last.eval;
  out.eval.set_status("failed");
  out.eval.set_status_description(std::format("maximum attempts reached ({})", attempts));
  out.eval.set_modify_time(options.now.unix_ns);
  auto& blocked = out.blocked;
  SeededRng rng(std::hash<std::string>{}(eval.id()) ^ last.plan.snapshot_index());
  blocked.set_id(Uuid::random(rng).text());
  blocked.set_namespace_(eval.namespace_());
  blocked.set_priority(eval.priority());
  blocked.set_type(eval.type());
  blocked.set_triggered_by(std::string(kMaxPlanAttempts));
  blocked.set_job_id(eval.job_id());
  blocked.set_job_modify_index(eval.job_modify_index());
  blocked.set_status("blocked");
  blocked.set_status_description("created due to placement conflicts");
  blocked.set_previous_eval(eval.id());
  blocked.set_escaped_computed_class(true);
  blocked.set_create_time(options.now.unix_ns);
  blocked.set_modify_time(options.now.unix_ns);
  out.eval.set_blocked_eval(blocked.id());
  return out;
}

}  // namespace steppe::scheduler
