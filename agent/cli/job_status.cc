#include <format>

#include "agent/cli/commands.h"
#include "agent/cli/show.h"
#include "agent/schema/job.pb.h"
#include "agent/schema/plan.pb.h"
#include "agent/schema/rpc.pb.h"
#include "init/base/text.h"

namespace steppe::cli {

namespace {

std::string yes_no(bool value) { return value ? "true" : "false"; }

std::string status_of(const schema::Job& job) {
  if (job.stop()) return job.status() + " (stopped)";
  return job.status();
}

io::Task<int> list_jobs(Context& context, bool as_json) {
  schema::JobListReply reply;
  Result<> got = co_await context.get_into("/v1/jobs", {}, &reply, "Jobs");
  if (!got.ok()) co_return fail(context, "querying jobs", got.error());
  if (as_json) co_return print_json(context, reply, "jobs");
  if (reply.jobs().empty()) {
    context.ui().line("No running jobs");
    co_return 0;
  }
  const bool spaces = context.options().space == "*";
  std::vector<Row> rows{{"ID", "Type", "Priority", "Status", "Submit Date"}};
  if (spaces) rows[0].insert(rows[0].begin() + 1, "Namespace");
  for (const schema::JobListStub& job : reply.jobs()) {
    std::string type = job.type();
    if (job.periodic()) type += "/periodic";
    if (job.parameterized_job()) type += "/parameterized";
    Row row{job.id(), type, std::to_string(job.priority()), job.stop() ? job.status() + " (stopped)" : job.status(), date(job.submit_time())};
    if (spaces) row.insert(row.begin() + 1, job.namespace_());
    rows.push_back(std::move(row));
  }
  context.ui().line(table(rows));
  co_return 0;
}

void show_basics(Context& context, const schema::Job& job) {
  context.ui().line(key_values({{"ID", job.id()},
                                {"Name", job.name()},
                                {"Submit Date", date(job.submit_time())},
                                {"Type", job.type()},
                                {"Priority", std::to_string(job.priority())},
                                {"Datacenters", join({job.datacenters().begin(), job.datacenters().end()}, ",")},
                                {"Namespace", job.namespace_()},
                                {"Node Pool", job.node_pool()},
                                {"Status", status_of(job)},
                                {"Periodic", yes_no(job.has_periodic())},
                                {"Parameterized", yes_no(job.has_parameterized_job() && !job.dispatched())}}));
}

void show_failures(Context& context, const schema::JobEvaluationsReply& evals) {
  const schema::Evaluation* blocked = nullptr;
  const schema::Evaluation* latest = nullptr;
  for (const schema::Evaluation& eval : evals.evaluations()) {
    if (eval.status() == "blocked" && (!blocked || eval.create_index() > blocked->create_index())) blocked = &eval;
    if (!eval.failed_tg_allocs().empty() && (!latest || eval.create_index() > latest->create_index())) latest = &eval;
  }
  if (blocked == nullptr || latest == nullptr) return;
  context.ui().line("\n" + context.ui().bold("Placement Failure"));
  for (const auto& [group, metric] : sorted(latest->failed_tg_allocs())) {
    context.ui().line(std::format("Task Group \"{}\":", group));
    context.ui().line(show_metric(metric, false, "  "));
  }
}

// Periodic and parameterized jobs show their children in place of allocations.
io::Task<int> show_children(Context& context, const schema::Job& job, const schema::JobSummary& summary) {
  context.ui().line(std::format("\n{}\n{}", context.ui().bold(job.has_periodic() ? "Children Job Summary" : "Parameterized Job Summary"),
                                table({{"Pending", "Running", "Dead"},
                                       {std::to_string(summary.children().pending()), std::to_string(summary.children().running()), std::to_string(summary.children().dead())}})));
  http::Query query = in_space(job.namespace_());
  query.add("prefix", job.id() + (job.has_periodic() ? "/periodic-" : "/dispatch-"));
  schema::JobListReply children;
  Result<> got = co_await context.get_into("/v1/jobs", std::move(query), &children, "Jobs");
  if (!got.ok()) co_return fail(context, "querying the job's launches", got.error());
  std::vector<Row> rows{{"ID", "Status"}};
  for (const schema::JobListStub& child : children.jobs()) {
    if (child.parent_id() == job.id()) rows.push_back({child.id(), child.status()});
  }
  if (rows.size() == 1) {
    context.ui().line(std::format("\nNo {} instances of {} job found", job.has_periodic() ? "previously launched" : "dispatched", job.has_periodic() ? "periodic" : "parameterized"));
    co_return 0;
  }
  context.ui().line(std::format("\n{}\n{}", context.ui().bold(job.has_periodic() ? "Previously Launched Jobs" : "Dispatched Jobs"), table(rows)));
  co_return 0;
}

io::Task<int> show_job(Context& context, const Flags& flags, JobName name) {
  const std::string path = "/v1/job/" + http::percent_encode(name.id);
  schema::Job job;
  Result<> got = co_await context.get_into(path, in_space(name.space), &job);
  if (!got.ok()) co_return fail(context, "querying job", got.error());
  if (flags.on("json")) co_return print_json(context, job);
  const bool verbose = flags.on("verbose");
  show_basics(context, job);
  if (flags.on("short")) co_return 0;

  schema::JobSummary summary;
  got = co_await context.get_into(path + "/summary", in_space(name.space), &summary);
  if (!got.ok()) co_return fail(context, "querying job summary", got.error());
  if (job.has_periodic() || (job.has_parameterized_job() && !job.dispatched())) {
    co_return co_await show_children(context, job, summary);
  }
  context.ui().line("\n" + context.ui().bold("Summary") + "\n" + show_summary(summary));
  schema::JobEvaluationsReply evals;
  got = co_await context.get_into(path + "/evaluations", in_space(name.space), &evals, "Evaluations");
  if (!got.ok()) co_return fail(context, "querying job evaluations", got.error());
  if (flags.on("evals") || verbose) {
    std::vector<Row> rows{{"ID", "Priority", "Triggered By", "Status", "Placement Failures"}};
    for (const schema::Evaluation& eval : evals.evaluations()) {
      rows.push_back({short_id(eval.id(), verbose), std::to_string(eval.priority()), eval.triggered_by(), eval.status(), eval.status() == "blocked" ? "N/A - In Progress" : yes_no(!eval.failed_tg_allocs().empty())});
    }
    context.ui().line("\n" + context.ui().bold("Evaluations") + "\n" + table(rows));
  }
  show_failures(context, evals);

  schema::SingleDeploymentReply deployment;
  Result<std::string> latest = co_await context.get(path + "/deployment", in_space(name.space));
  if (latest.ok() && *latest != "null") {
    got = co_await context.get_into(path + "/deployment", in_space(name.space), deployment.mutable_deployment());
    if (got.ok()) context.ui().line("\n" + context.ui().bold("Latest Deployment") + "\n" + show_deployment(deployment.deployment(), verbose));
  }
  http::Query all = in_space(name.space);
  all.add("all", flags.on("all-allocs") ? "true" : "false");
  schema::JobAllocationsReply allocs;
  got = co_await context.get_into(path + "/allocations", std::move(all), &allocs, "Allocations");
  if (!got.ok()) co_return fail(context, "querying job allocations", got.error());
  context.ui().line("\n" + context.ui().bold("Allocations") + "\n" + show_allocs(allocs.allocations(), context.now_ns(), verbose));
  co_return 0;
}

}  // namespace

io::Task<int> job_status(Context& context, const Flags& flags) {
  if (flags.words().size() > 1) co_return usage(context, "This command takes either no arguments or one: <job>");
  if (flags.words().empty()) co_return co_await list_jobs(context, flags.on("json"));
  Result<JobName> name = co_await find_job(context, flags.words()[0]);
  if (!name.ok()) co_return usage(context, name.error().message());
  co_return co_await show_job(context, flags, *name);
}

io::Task<int> job_allocs(Context& context, const Flags& flags) {
  if (flags.words().size() != 1) co_return usage(context, "This command takes one argument: <job>");
  Result<JobName> name = co_await find_job(context, flags.words()[0]);
  if (!name.ok()) co_return usage(context, name.error().message());
  http::Query query = in_space(name->space);
  query.add("all", flags.on("all") ? "true" : "false");
  schema::JobAllocationsReply allocs;
  Result<> got = co_await context.get_into(std::format("/v1/job/{}/allocations", http::percent_encode(name->id)), std::move(query), &allocs, "Allocations");
  if (!got.ok()) co_return fail(context, "retrieving allocations", got.error());
  if (flags.on("json")) co_return print_json(context, allocs, "allocations");
  context.ui().line(show_allocs(allocs.allocations(), context.now_ns(), flags.on("verbose")));
  co_return 0;
}

io::Task<int> job_deployments(Context& context, const Flags& flags) {
  if (flags.words().size() != 1) co_return usage(context, "This command takes one argument: <job>");
  Result<JobName> name = co_await find_job(context, flags.words()[0]);
  if (!name.ok()) co_return usage(context, name.error().message());
  http::Query query = in_space(name->space);
  query.add("all", flags.on("all") ? "true" : "false");
  schema::DeploymentListReply reply;
  Result<> got = co_await context.get_into(std::format("/v1/job/{}/deployments", http::percent_encode(name->id)), std::move(query), &reply, "Deployments");
  if (!got.ok()) co_return fail(context, "retrieving deployments", got.error());
  if (flags.on("json")) co_return print_json(context, reply, "deployments");
  if (reply.deployments().empty()) {
    context.ui().line("No deployments found");
    co_return 0;
  }
  std::vector<Row> rows{{"ID", "Job ID", "Job Version", "Status", "Description"}};
  for (const schema::Deployment& deployment : reply.deployments()) {
    rows.push_back({short_id(deployment.id(), flags.on("verbose")), deployment.job_id(), std::to_string(deployment.job_version()), deployment.status(), deployment.status_description()});
    if (flags.on("latest")) break;
  }
  context.ui().line(table(rows));
  co_return 0;
}

}  // namespace steppe::cli
