#include <format>

#include "agent/cli/commands.h"
#include "agent/schema/codec.h"
#include "agent/schema/plan.pb.h"
#include "agent/schema/rpc.pb.h"

namespace steppe::cli {

namespace {

// The deployment that the one argument names; what to say when it names none.
io::Task<Result<std::string>> deployment_of(Context& context, const Flags& flags) {
  if (flags.words().size() != 1) co_return Error(Code::kInvalid, "This command takes one argument: <deployment id>");
  co_return co_await find_deployment(context, flags.words()[0]);
}

io::Task<int> follow(Context& context, const Flags& flags, std::string eval_id) {
  if (eval_id.empty()) co_return 0;
  if (flags.on("detach")) {
    context.ui().line("Evaluation ID: " + eval_id);
    co_return 0;
  }
  co_return co_await monitor_eval(context, std::move(eval_id), flags.on("verbose"));
}

io::Task<int> set_pause(Context& context, const Flags& flags, bool pause) {
  Result<std::string> id = co_await deployment_of(context, flags);
  if (!id.ok()) co_return usage(context, id.error().message());
  schema::DeploymentPauseRequest request;
  request.set_deployment_id(*id);
  request.set_pause(pause);
  schema::DeploymentUpdateReply reply;
  Result<> put = co_await context.put_into("/v1/deployment/pause/" + *id, {}, request, &reply);
  if (!put.ok()) co_return fail(context, pause ? "pausing deployment" : "resuming deployment", put.error());
  context.ui().line(std::format("Deployment \"{}\" {}", *id, pause ? "paused" : "resumed"));
  if (pause) co_return 0;
  co_return co_await follow(context, flags, reply.eval_id());
}

io::Task<int> promote(Context& context, const Flags& flags, std::string id) {
  schema::DeploymentPromoteRequest request;
  request.set_deployment_id(id);
  for (const std::string& group : flags.list("group")) request.add_groups(group);
  request.set_all(request.groups().empty());
  schema::DeploymentUpdateReply reply;
  Result<> put = co_await context.put_into("/v1/deployment/promote/" + id, {}, request, &reply);
  if (!put.ok()) co_return fail(context, "promoting deployment", put.error());
  co_return co_await follow(context, flags, reply.eval_id());
}

}  // namespace

io::Task<int> deployment_pause(Context& context, const Flags& flags) { return set_pause(context, flags, true); }
io::Task<int> deployment_resume(Context& context, const Flags& flags) { return set_pause(context, flags, false); }

io::Task<int> deployment_fail(Context& context, const Flags& flags) {
  Result<std::string> id = co_await deployment_of(context, flags);
  if (!id.ok()) co_return usage(context, id.error().message());
  schema::DeploymentFailRequest request;
  request.set_deployment_id(*id);
  schema::DeploymentUpdateReply reply;
  Result<> put = co_await context.put_into("/v1/deployment/fail/" + *id, {}, request, &reply);
  if (!put.ok()) co_return fail(context, "failing deployment", put.error());
  context.ui().line(std::format("Deployment \"{}\" failed", *id));
  if (reply.has_reverted_job_version()) context.ui().line(std::format("Auto-reverted to job version {}", reply.reverted_job_version()));
  co_return co_await follow(context, flags, reply.eval_id());
}

io::Task<int> deployment_promote(Context& context, const Flags& flags) {
  Result<std::string> id = co_await deployment_of(context, flags);
  if (!id.ok()) co_return usage(context, id.error().message());
  co_return co_await promote(context, flags, *id);
}

io::Task<int> job_promote(Context& context, const Flags& flags) {
  if (flags.words().size() != 1) co_return usage(context, "This command takes one argument: <job id>");
  Result<JobName> name = co_await find_job(context, flags.words()[0]);
  if (!name.ok()) co_return usage(context, name.error().message());
  schema::SingleDeploymentReply latest;
  Result<std::string> body = co_await context.get(std::format("/v1/job/{}/deployment", http::percent_encode(name->id)), in_space(name->space));
  if (!body.ok()) co_return fail(context, "retrieving the job's deployment", body.error());
  if (*body == "null") co_return usage(context, std::format("Job \"{}\" has no deployment to promote", name->id));
  Result<> read = schema::read_json(*body, latest.mutable_deployment());
  if (!read.ok()) co_return fail(context, "reading the answer", read.error());
  co_return co_await promote(context, flags, latest.deployment().id());
}

}  // namespace steppe::cli
