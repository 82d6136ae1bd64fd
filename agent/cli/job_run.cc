#include <format>

#include "agent/cli/command.h"
#include "agent/cli/commands.h"
#include "agent/cli/job_file.h"
#include "agent/cli/show.h"
#include "agent/jobspec/parse.h"
#include "agent/schema/codec.h"
#include "agent/schema/job.pb.h"
#include "agent/schema/rpc.pb.h"
#include "init/base/text.h"

namespace steppe::cli {

namespace {

constexpr const char* kOnePath = "This command takes one argument: <path>";

void warn_of(Context& context, std::string_view title, std::string_view text) {
  if (text.empty()) return;
  context.ui().warn(std::format("{}\n\n{}\n", title, trim(text)));
}

// Keys that are kept and shown, but that nothing here acts on yet.
void warn_of_ignored(Context& context, const schema::Job& job) {
  const std::vector<std::string> ignored = jobspec::not_yet_acted_on(job);
  if (ignored.empty()) return;
  warn_of(context, "Job Warnings:", std::format("{} warning(s):\n\n* not acted on by this version: {}", ignored.size(), join(ignored, "\n* not acted on by this version: ")));
}

}  // namespace

io::Task<int> job_run(Context& context, const Flags& flags) {
  if (flags.words().size() != 1) co_return usage(context, kOnePath);
  schema::JobRegisterRequest request;
  Result<JobFile> file = read_job_file(context, flags, flags.words()[0], request.mutable_job());
  if (!file.ok()) co_return fail(context, "getting job struct", file.error());
  warn_of(context, "Job file warnings:", file->warnings);
  if (flags.on("output")) {
    schema::WriteOptions pretty;
    pretty.style = json::Style::kPretty;
    pretty.redact = false;
    context.ui().line(schema::write_json(request, pretty));
    co_return 0;
  }
  fill_submission(*file, flags, context.environment(), request.mutable_submission());
  if (flags.given("check-index")) {
    Result<uint64_t> index = flags.unsigned_number("check-index", 0);
    if (!index.ok()) co_return fail(context, "parsing check-index value", index.error());
    request.set_enforce_index(true);
    request.set_job_modify_index(*index);
  }
  Result<int64_t> priority = flags.number("eval-priority", 0);
  if (!priority.ok()) co_return fail(context, "parsing eval-priority value", priority.error());
  request.set_eval_priority(*priority);
  request.set_preserve_counts(flags.on("preserve-counts"));
  request.set_preserve_resources(flags.on("preserve-resources"));
  schema::JobRegisterReply reply;
  Result<> put = co_await context.put_into("/v1/jobs", in_space(request.job().namespace_()), request, &reply);
  if (!put.ok()) co_return fail(context, "submitting job", put.error());
  warn_of(context, "Job Warnings:", reply.warnings());
  warn_of_ignored(context, request.job());
  if (reply.eval_id().empty()) {
    context.ui().line("Job registration successful");
    co_return 0;
  }
  if (flags.on("detach")) {
    context.ui().line("Job registration successful\nEvaluation ID: " + reply.eval_id());
    co_return 0;
  }
  co_return co_await monitor_eval(context, reply.eval_id(), flags.on("verbose"));
}

io::Task<int> job_validate(Context& context, const Flags& flags) {
  if (flags.words().size() != 1) co_return usage(context, kOnePath);
  schema::JobValidateRequest request;
  Result<JobFile> file = read_job_file(context, flags, flags.words()[0], request.mutable_job());
  if (!file.ok()) co_return fail(context, "getting job struct", file.error());
  warn_of(context, "Job file warnings:", file->warnings);
  schema::JobValidateReply reply;
  Result<> put = co_await context.put_into("/v1/validate/job", in_space(request.job().namespace_()), request, &reply);
  if (!put.ok()) co_return fail(context, "validating job", put.error());
  if (!reply.error().empty() || reply.validation_errors_size() > 0) {
    context.ui().error(context.ui().bold("Job validation errors:"));
    if (!reply.error().empty()) co_return usage(context, reply.error());
    for (const std::string& error : reply.validation_errors()) usage(context, "* " + error);
    co_return 1;
  }
  warn_of(context, "Job Warnings:", reply.warnings());
  warn_of_ignored(context, request.job());
  context.ui().line(context.ui().bold(context.ui().green("Job validation successful")));
  co_return 0;
}

namespace {

void show_plan(Context& context, const schema::JobPlanReply& reply, const std::string& path, bool with_diff, bool verbose) {
  Ui& ui = context.ui();
  if (with_diff && reply.has_diff()) ui.raw(show_diff(reply.diff(), verbose, ui));
  ui.line(ui.bold("Scheduler dry-run:"));
  if (reply.failed_tg_allocs().empty()) {
    ui.line(ui.green("- All tasks successfully allocated."));
  } else {
    ui.line(ui.yellow("- WARNING: Failed to place all allocations."));
    for (const auto& [group, metric] : sorted(reply.failed_tg_allocs())) {
      const auto count = metric.coalesced_failures() + 1;
      ui.line(std::format("  Task Group \"{}\" (failed to place {} allocation{}):", group, count, count == 1 ? "" : "s"));
      ui.line(show_metric(metric, false, "    "));
    }
  }
  if (reply.next_periodic_launch() > 0) ui.line(std::format("- If submitted now, next periodic launch would be at {}.", date(reply.next_periodic_launch())));
  ui.line();
  ui.line(std::format("Job Modify Index: {}\nTo submit the job with version verification run:\n\n{} job run -check-index {} {}\n", reply.job_modify_index(), context.program(), reply.job_modify_index(), path));
  ui.line("When running the job with the check-index flag, the job will only be run if the\njob modify index given matches the server-side version. If the index has\nchanged, another user has modified the job and the plan's results are\npotentially invalid.");
}

// 0: nothing would change; 1: allocations would be created, replaced or stopped.
int plan_exit(const schema::JobPlanReply& reply) {
  if (!reply.failed_tg_allocs().empty()) return 1;
  for (const auto& [group, updates] : reply.annotations().desired_tg_updates()) {
    if (updates.place() + updates.stop() + updates.migrate() + updates.destructive_update() + updates.canary() > 0) return 1;
  }
  return 0;
}

}  // namespace

io::Task<int> job_plan(Context& context, const Flags& flags) {
  static constexpr int kPlanError = 255;
  if (flags.words().size() != 1) {
    usage(context, kOnePath);
    co_return kPlanError;
  }
  schema::JobPlanRequest request;
  Result<JobFile> file = read_job_file(context, flags, flags.words()[0], request.mutable_job());
  if (!file.ok()) {
    fail(context, "getting job struct", file.error());
    co_return kPlanError;
  }
  warn_of(context, "Job file warnings:", file->warnings);
  const bool with_diff = !flags.given("diff") || flags.on("diff");
  request.set_diff(with_diff);
  schema::JobPlanReply reply;
  const std::string path = std::format("/v1/job/{}/plan", http::percent_encode(request.job().id()));
  Result<> put = co_await context.put_into(path, in_space(request.job().namespace_()), request, &reply);
  if (!put.ok()) {
    fail(context, "during plan", put.error());
    co_return kPlanError;
  }
  if (flags.on("json-output")) {
    schema::WriteOptions pretty;
    pretty.style = json::Style::kPretty;
    context.ui().line(schema::write_json(reply, pretty));
    co_return plan_exit(reply);
  }
  show_plan(context, reply, flags.words()[0], with_diff, flags.on("verbose"));
  warn_of(context, "Job Warnings:", reply.warnings());
  warn_of_ignored(context, request.job());
  co_return plan_exit(reply);
}

}  // namespace steppe::cli
