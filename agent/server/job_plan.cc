#include <format>

#include "agent/model/canonicalize.h"
#include "agent/model/cron.h"
#include "agent/model/diff.h"
#include "agent/model/validate.h"
#include "agent/schema/job.pb.h"
#include "agent/schema/plan.pb.h"
#include "agent/schema/rpc.pb.h"
#include "agent/scheduler/scheduler.h"
#include "agent/server/job_endpoint.h"

namespace steppe::server {

using endpoint::Outcome;
using endpoint::rpc_error;

namespace {

// What the plan would do, on the diff's groups: {"create": 2, "in-place update": 1}.
void annotate_groups(const schema::PlanAnnotations& annotations, schema::JobDiff* diff) {
  for (schema::TaskGroupDiff& group : *diff->mutable_task_groups()) {
    const auto at = annotations.desired_tg_updates().find(group.name());
    if (at == annotations.desired_tg_updates().end()) continue;
    const schema::DesiredUpdates& updates = at->second;
    const std::pair<const char*, uint64_t> kinds[] = {
        {"ignore", updates.ignore()}, {"create", updates.place()}, {"migrate", updates.migrate()}, {"destroy", updates.stop()},
        {"in-place update", updates.in_place_update()}, {"create/destroy update", updates.destructive_update()}, {"canary", updates.canary()}};
    for (const auto& [name, count] : kinds) {
      if (count > 0) (*group.mutable_updates())[name] = count;
    }
  }
}

struct DryRun {
  schema::Evaluation eval;
  schema::Job job;
  state::Snapshot snapshot;
  scheduler::Options options;
};

// `run` outlives the await.
io::Task<scheduler::Outcome> run_dry(io::Loop& loop, const DryRun& run) {
  auto work = [&run] {
    scheduler::Scheduler scheduler;
    return scheduler.schedule_job(run.eval, run.job, run.snapshot, run.options);
  };
  co_return co_await io::run_blocking(loop, std::move(work));
}

}  // namespace

io::Task<Outcome<>> JobEndpoint::plan(const schema::JobPlanRequest& request, const Call& call, schema::JobPlanReply& reply) {
  if (!request.has_job()) co_return rpc_error("Job required for plan");
  DryRun run{.snapshot = core_.store.snapshot()};
  schema::Job& job = run.job;
  job = request.job();
  job.set_namespace_(call.space());
  schema::Job old;
  const auto existing = run.snapshot.job(job.namespace_(), job.id());
  if (request.preserve_counts()) preserve_counts(existing, &job);
  STEPPE_CO_TRY(const Admission admission, admit_job(core_, run.snapshot, &job));
  reply.set_warnings(admission.warnings);
  if (existing) {
    old = existing->decode();
    reply.set_job_modify_index(existing->job_modify_index());
    job.set_create_index(old.create_index());
  }
  const uint64_t index = run.snapshot.index();
  // To register what is there already makes no new version, and the allocations need no update.
  const bool unchanged = existing && old.stop() == job.stop() && !model::spec_changed(old, job);
  job.set_job_modify_index(unchanged ? old.job_modify_index() : index + 1);
  job.set_modify_index(unchanged ? old.modify_index() : index + 1);
  job.set_version(unchanged ? old.version() : existing ? old.version() + 1 : 0);
  if (has_own_work(job)) {
    run.eval = new_eval(core_, job.namespace_(), job.id(), job.type(), job.priority(), "job-register");
    run.eval.set_annotate_plan(true);
    run.eval.set_job_modify_index(index + 1);
    run.options = {.now = core_.loop.wall(), .config = scheduler_config(run.snapshot), .annotate = true};
    scheduler::Outcome outcome = co_await run_dry(core_.loop, run);
    *reply.mutable_annotations() = outcome.plan.annotations();
    *reply.mutable_failed_tg_allocs() = outcome.eval.failed_tg_allocs();
    for (schema::Evaluation& eval : outcome.followups) *reply.add_created_evals() = std::move(eval);
    if (outcome.blocked) *reply.add_created_evals() = *std::move(outcome.blocked);
  }
  if (request.diff()) {
    STEPPE_CO_TRY_VOID(model::diff_jobs(existing ? &old : nullptr, &job, model::DiffContext::kContextual, reply.mutable_diff()));
    annotate_groups(reply.annotations(), reply.mutable_diff());
  }
  if (job.has_periodic() && job.periodic().enabled()) {
    STEPPE_CO_TRY(const auto next, model::next_launch(job.periodic(), core_.loop.wall()));
    if (next) reply.set_next_periodic_launch(next->unix_ns);
  }
  reply.mutable_meta()->set_index(index);
  co_return Outcome<>();
}

io::Task<Outcome<>> JobEndpoint::validate(const schema::JobValidateRequest& request, const Call& call, schema::JobValidateReply& reply) {
  if (!request.has_job()) co_return rpc_error("Job required for validation");
  schema::Job job = request.job();
  job.set_namespace_(call.space());
  model::canonicalize(&job, {.priority = core_.settings.default_priority});
  const model::Verdict verdict = model::validate(job, {.max_priority = core_.settings.max_priority});
  for (const std::string& error : verdict.errors) reply.add_validation_errors(error);
  reply.set_error(verdict.error_text());
  reply.set_warnings(verdict.warning_text());
  reply.set_driver_config_validated(true);
  reply.mutable_meta()->set_index(core_.commands.applied_index());
  co_return Outcome<>();
}

}  // namespace steppe::server
