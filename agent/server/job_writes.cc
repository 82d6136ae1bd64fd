#include <format>

#include "agent/model/alloc_status.h"
#include "agent/model/canonicalize.h"
#include "agent/model/update_kind.h"
#include "agent/model/validate.h"
#include "agent/schema/job.pb.h"
#include "agent/schema/log.pb.h"
#include "agent/schema/plan.pb.h"
#include "agent/schema/rpc.pb.h"
#include "agent/server/job_endpoint.h"

namespace steppe::server {

using endpoint::Outcome;
using endpoint::rpc_error;

namespace {

constexpr size_t kMaxSource = 1'000'000;

bool known_pool(const state::Snapshot& snapshot, const std::string& pool) {
  return pool == "default" || pool == "all" || snapshot.node_pool(pool).has_value();
}

// The priority of a job's evaluation: the caller's, or the job's.
Outcome<int64_t> eval_priority(const Core& core, int64_t wanted, int64_t of_job) {
  if (wanted == 0) return of_job;
  if (wanted < 1 || wanted > core.settings.max_priority) {
    return endpoint::bad_request(std::format("eval priority must be between 1 and {}, got {}", core.settings.max_priority, wanted));
  }
  return wanted;
}

}  // namespace

bool has_own_work(const schema::Job& job) { return !model::is_periodic(job) && !model::is_parameterized(job); }

Outcome<Admission> admit_job(const Core& core, const state::Snapshot& snapshot, schema::Job* job) {
  model::canonicalize(job, {.priority = core.settings.default_priority});
  if (job->region().empty() || job->region() == "global") job->set_region(core.settings.region);
  const model::Verdict verdict = model::validate(*job, {.max_priority = core.settings.max_priority});
  if (!verdict.ok()) return rpc_error(verdict.error_text());
  if (job->region() != core.settings.region) return rpc_error(std::format("No path to region {}", job->region()));
  if (job->namespace_() != "default") return rpc_error(std::format("job \"{}\" is in nonexistent namespace \"{}\"", job->id(), job->namespace_()));
  if (!known_pool(snapshot, job->node_pool())) {
    return rpc_error(std::format("job \"{}\" is in nonexistent node pool \"{}\"", job->id(), job->node_pool()));
  }
  if (const auto existing = snapshot.job(job->namespace_(), job->id())) {
    Result<> may = model::validate_update(existing->decode(), *job);
    if (!may.ok()) return rpc_error(may.error().message());
  }
  return Admission{verdict.warning_text()};
}

Outcome<> check_index(const std::optional<state::JobView>& existing, bool enforce, uint64_t want) {
  if (!enforce) return {};
  const std::string prefix = std::format("Enforcing job modify index {}: ", want);
  if (existing && want == 0) return rpc_error(prefix + "job already exists");
  if (!existing && want != 0) return rpc_error(prefix + "job does not exist");
  if (existing && existing->job_modify_index() != want) {
    return rpc_error(prefix + std::format("job exists with conflicting job modify index: {}", existing->job_modify_index()));
  }
  return {};
}

void preserve_counts(const std::optional<state::JobView>& existing, schema::Job* job) {
  if (!existing) return;
  const schema::Job old = existing->decode();
  for (schema::TaskGroup& group : *job->mutable_task_groups()) {
    if (const schema::TaskGroup* before = model::find_group(old, group.name())) group.set_count(before->count());
  }
}

io::Task<Outcome<>> JobEndpoint::register_job(const schema::JobRegisterRequest& request, const Call& call, schema::JobRegisterReply& reply) {
  if (!request.has_job()) co_return rpc_error("missing job for registration");
  schema::Job job = request.job();
  job.set_namespace_(call.space());
  co_return co_await register_prepared(std::move(job), request, call, reply);
}

io::Task<Outcome<>> JobEndpoint::register_prepared(schema::Job job, const schema::JobRegisterRequest& request, const Call&, schema::JobRegisterReply& reply) {
  schema::LogJobRegister command;
  bool changed = true;
  uint64_t unchanged_index = 0;
  {
    const state::Snapshot snapshot = core_.store.snapshot();
    if (scheduler_config(snapshot).reject_job_registration()) co_return endpoint::Failure(403, Code::kDenied, "Job registration, dispatch, and scale are disabled by the scheduler configuration");
    const auto existing = snapshot.job(job.namespace_(), job.id());
    if (request.preserve_counts()) preserve_counts(existing, &job);
    STEPPE_CO_TRY(const Admission admission, admit_job(core_, snapshot, &job));
    reply.set_warnings(admission.warnings);
    STEPPE_CO_TRY_VOID(check_index(existing, request.enforce_index(), request.job_modify_index()));
    if (existing) {
      const schema::Job old = existing->decode();
      changed = old.stop() != job.stop() || model::spec_changed(old, job);
      unchanged_index = existing->job_modify_index();
    }
  }
  const int64_t now = core_.loop.wall().unix_ns;
  if (has_own_work(job)) {
    STEPPE_CO_TRY(const int64_t priority, eval_priority(core_, request.eval_priority(), job.priority()));
    *command.mutable_eval() = new_eval(core_, job.namespace_(), job.id(), job.type(), priority, "job-register");
    if (!request.eval_id().empty()) command.mutable_eval()->set_id(request.eval_id());
    command.mutable_eval()->set_job_modify_index(unchanged_index);
    reply.set_eval_id(command.eval().id());
  }
  state::Outcome done;
  if (changed) {
    job.set_submit_time(now);
    *command.mutable_job() = std::move(job);
    if (request.has_submission()) {
      *command.mutable_submission() = request.submission();
      if (request.submission().source().size() + request.submission().variables().size() > kMaxSource) {
        command.clear_submission();
        reply.set_warnings(reply.warnings() + "1 warning(s):\n\n* the job's source is larger than 1 MB and was not kept");
      }
    }
    command.set_deployment_id(request.deployment_id());
    command.set_unix_ns(now);
    STEPPE_CO_TRY(done, co_await core_.commands.request(schema::LOG_JOB_REGISTER, command));
    reply.set_job_modify_index(done.job_modify_index);
  } else {
    reply.set_job_modify_index(unchanged_index);
    done.index = core_.commands.applied_index();
    if (command.has_eval()) {
      schema::LogEvalUpsert upsert;
      *upsert.add_evals() = command.eval();
      upsert.set_unix_ns(now);
      STEPPE_CO_TRY(done, co_await core_.commands.request(schema::LOG_EVAL_UPSERT, upsert));
    }
  }
  if (!reply.eval_id().empty()) reply.set_eval_create_index(done.index);
  reply.mutable_meta()->set_index(done.index);
  co_return Outcome<>();
}

io::Task<Outcome<>> JobEndpoint::deregister(const schema::JobDeregisterRequest& request, const Call& call, schema::JobDeregisterReply& reply) {
  if (request.job_id().empty()) co_return rpc_error("missing job ID for deregistering");
  schema::LogJobDeregister command;
  {
    const state::Snapshot snapshot = core_.store.snapshot();
    const auto existing = snapshot.job(call.space(), request.job_id());
    if (!existing) {  // done already: answered as done, without an evaluation
      reply.set_job_modify_index(snapshot.index());
      reply.mutable_meta()->set_index(snapshot.index());
      co_return Outcome<>();
    }
    const schema::Job job = existing->decode();
    STEPPE_CO_TRY(const int64_t priority, eval_priority(core_, request.eval_priority(), job.priority()));
    if (has_own_work(job)) {
      // Of type service whatever the job was: a purged job's type is known no more when the evaluation runs.
      *command.mutable_eval() = new_eval(core_, job.namespace_(), job.id(), "service", priority, "job-deregister");
      reply.set_eval_id(command.eval().id());
    }
  }
  command.set_namespace_(call.space());
  command.set_job_id(request.job_id());
  command.set_purge(request.purge());
  command.set_no_shutdown_delay(request.no_shutdown_delay());
  command.set_unix_ns(core_.loop.wall().unix_ns);
  command.set_submit_time(command.unix_ns());
  STEPPE_CO_TRY(const state::Outcome done, co_await core_.commands.request(schema::LOG_JOB_DEREGISTER, command));
  reply.set_job_modify_index(done.job_modify_index != 0 ? done.job_modify_index : done.index);
  if (!reply.eval_id().empty()) reply.set_eval_create_index(done.index);
  reply.mutable_meta()->set_index(done.index);
  co_return Outcome<>();
}

io::Task<Outcome<>> JobEndpoint::evaluate(const schema::JobEvaluateRequest& request, const Call& call, schema::JobRegisterReply& reply) {
  if (request.job_id().empty()) co_return rpc_error("missing job ID for evaluation");
  schema::LogAllocDesiredTransition command;
  {
    const state::Snapshot snapshot = core_.store.snapshot();
    const auto existing = snapshot.job(call.space(), request.job_id());
    if (!existing) co_return rpc_error("job not found");
    const schema::Job job = existing->decode();
    if (model::is_periodic(job)) co_return rpc_error("can't evaluate periodic job");
    if (model::is_parameterized(job)) co_return rpc_error("can't evaluate parameterized job");
    schema::Evaluation* eval = command.add_evals();
    *eval = new_eval(core_, job.namespace_(), job.id(), job.type(), job.priority(), "job-register");
    eval->set_job_modify_index(job.modify_index());
    reply.set_job_modify_index(job.modify_index());
    reply.set_eval_id(eval->id());
    if (request.eval_options().force_reschedule()) {
      for (const state::AllocView& alloc : snapshot.allocs_by_job(job.namespace_(), job.id(), state::Incarnation::kCurrent)) {
        if (alloc.client_status() == state::ClientStatus::kFailed && !alloc.force_reschedule()) {
          (*command.mutable_transitions())[alloc.id().text()].set_force_reschedule(true);
        }
      }
    }
  }
  command.set_unix_ns(core_.loop.wall().unix_ns);
  STEPPE_CO_TRY(const state::Outcome done, co_await core_.commands.request(schema::LOG_ALLOC_DESIRED_TRANSITION, command));
  reply.set_eval_create_index(done.index);
  reply.mutable_meta()->set_index(done.index);
  co_return Outcome<>();
}

io::Task<Outcome<>> JobEndpoint::revert(const schema::JobRevertRequest& request, const Call& call, schema::JobRegisterReply& reply) {
  if (request.job_id().empty()) co_return rpc_error("missing job ID for revert");
  schema::JobRegisterRequest registration;
  schema::Job job;
  {
    const state::Snapshot snapshot = core_.store.snapshot();
    const auto current = snapshot.job(call.space(), request.job_id());
    if (!current) co_return rpc_error(std::format("job \"{}\" not found", request.job_id()));
    if (request.job_version() == current->version()) co_return rpc_error(std::format("can't revert to current version {}", request.job_version()));
    if (request.has_enforce_prior_version() && request.enforce_prior_version() != current->version()) {
      co_return rpc_error(std::format("Current job has version {}; enforcing version {}", current->version(), request.enforce_prior_version()));
    }
    const auto old = snapshot.job_version(call.space(), request.job_id(), request.job_version());
    if (!old) {
      co_return rpc_error(std::format("job \"{}\" in namespace \"{}\" at version {} not found", request.job_id(), call.space(), request.job_version()));
    }
    job = old->decode();
    job.clear_version_tag();
    job.set_stable(false);
    job.set_stop(false);
    registration.set_enforce_index(true);
    registration.set_job_modify_index(current->job_modify_index());
    if (auto source = snapshot.job_submission(call.space(), request.job_id(), request.job_version())) *registration.mutable_submission() = *std::move(source);
  }
  co_return co_await register_prepared(std::move(job), registration, call, reply);
}

io::Task<Outcome<>> JobEndpoint::stable(const schema::JobStabilityRequest& request, const Call& call, schema::JobStabilityReply& reply) {
  if (request.job_id().empty()) co_return rpc_error("missing job ID for marking job as stable");
  if (!core_.store.snapshot().job_version(call.space(), request.job_id(), request.job_version())) {
    co_return rpc_error(std::format("job \"{}\" in namespace \"{}\" at version {} not found", request.job_id(), call.space(), request.job_version()));
  }
  schema::LogJobStability command;
  command.set_namespace_(call.space());
  command.set_job_id(request.job_id());
  command.set_job_version(request.job_version());
  command.set_stable(request.stable());
  STEPPE_CO_TRY(const state::Outcome done, co_await core_.commands.request(schema::LOG_JOB_STABILITY, command));
  reply.mutable_meta()->set_index(done.index);
  co_return Outcome<>();
}

}  // namespace steppe::server
