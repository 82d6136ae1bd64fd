#include <format>

#include "agent/cli/commands.h"
#include "agent/cli/show.h"
#include "agent/schema/codec.h"
#include "agent/schema/job.pb.h"
#include "agent/schema/plan.pb.h"
#include "agent/schema/rpc.pb.h"
#include "init/base/text.h"
#include "init/io/path_file.h"

namespace steppe::cli {

namespace {

std::string job_path(const JobName& name, std::string_view rest = "") { return std::format("/v1/job/{}{}", http::percent_encode(name.id), rest); }

// What the commands that make an evaluation do next.
io::Task<int> follow(Context& context, const Flags& flags, std::string eval_id) {
  if (eval_id.empty()) co_return 0;
  if (flags.on("detach")) {
    context.ui().line(eval_id);
    co_return 0;
  }
  co_return co_await monitor_eval(context, std::move(eval_id), flags.on("verbose"));
}

io::Task<int> stop_one(Context& context, const Flags& flags, std::string id) {
  Result<JobName> name = co_await find_job(context, id);
  if (!name.ok()) co_return usage(context, name.error().message());
  http::Query query = in_space(name->space);
  query.add("purge", flags.on("purge") ? "true" : "false");
  query.add("global", flags.on("global") ? "true" : "false");
  query.add("no_shutdown_delay", flags.on("no-shutdown-delay") ? "true" : "false");
  if (flags.given("eval-priority")) query.add("eval_priority", flags.text("eval-priority"));
  Result<http::Response> response = co_await context.request("DELETE", job_path(*name), std::move(query));
  if (!response.ok()) co_return fail(context, std::format("deregistering job with id {}", name->id), response.error());
  schema::JobDeregisterReply reply;
  if (Result<> read = schema::read_json(response->body, &reply); !read.ok()) co_return fail(context, "reading the answer", read.error());
  co_return co_await follow(context, flags, reply.eval_id());
}

}  // namespace

io::Task<int> job_stop(Context& context, const Flags& flags) {
  if (flags.words().empty()) co_return usage(context, "This command takes at least one argument: <job>");
  int worst = 0;
  for (const std::string& id : flags.words()) worst = std::max(worst, co_await stop_one(context, flags, id));
  co_return worst;
}

io::Task<int> job_start(Context& context, const Flags& flags) {
  if (flags.words().size() != 1) co_return usage(context, "This command takes one argument: <job>");
  Result<JobName> name = co_await find_job(context, flags.words()[0]);
  if (!name.ok()) co_return usage(context, name.error().message());
  schema::JobRegisterRequest request;
  Result<> got = co_await context.get_into(job_path(*name), in_space(name->space), request.mutable_job());
  if (!got.ok()) co_return fail(context, "retrieving job", got.error());
  schema::Job& job = *request.mutable_job();
  if (!job.stop()) co_return usage(context, std::format("Job \"{}\" has not been stopped and has the following status: {}", job.id(), job.status()));
  // Its source goes with it, where the server still has that; and nobody may have changed the job meanwhile.
  http::Query query = in_space(name->space);
  query.add("version", std::to_string(job.version()));
  schema::JobSubmission submission;
  if ((co_await context.get_into(job_path(*name, "/submission"), std::move(query), &submission)).ok()) *request.mutable_submission() = std::move(submission);
  request.set_enforce_index(true);
  request.set_job_modify_index(job.job_modify_index());
  job.set_stop(false);
  // What was hidden from us may not replace what the server has.
  job.clear_consul_token();
  job.clear_vault_token();
  job.clear_nomad_token_id();
  schema::JobRegisterReply reply;
  Result<> put = co_await context.put_into("/v1/jobs", in_space(name->space), request, &reply);
  if (!put.ok()) co_return fail(context, std::format("starting job with id {}", name->id), put.error());
  co_return co_await follow(context, flags, reply.eval_id());
}

io::Task<int> job_eval(Context& context, const Flags& flags) {
  if (flags.words().size() != 1) co_return usage(context, "This command takes one argument: <job>");
  Result<JobName> name = co_await find_job(context, flags.words()[0]);
  if (!name.ok()) co_return usage(context, name.error().message());
  schema::JobEvaluateRequest request;
  request.set_job_id(name->id);
  request.mutable_eval_options()->set_force_reschedule(flags.on("force-reschedule"));
  schema::JobRegisterReply reply;
  Result<> put = co_await context.put_into(job_path(*name, "/evaluate"), in_space(name->space), request, &reply);
  if (!put.ok()) co_return fail(context, "evaluating job", put.error());
  co_return co_await follow(context, flags, reply.eval_id());
}

io::Task<int> job_periodic_force(Context& context, const Flags& flags) {
  if (flags.words().size() != 1) co_return usage(context, "This command takes one argument: <job id>");
  Result<JobName> name = co_await find_job(context, flags.words()[0]);
  if (!name.ok()) co_return usage(context, name.error().message());
  Result<http::Response> response = co_await context.request("PUT", job_path(*name, "/periodic/force"), in_space(name->space));
  if (!response.ok()) co_return fail(context, std::format("forcing periodic job \"{}\"", name->id), response.error());
  schema::JobRegisterReply reply;
  if (Result<> read = schema::read_json(response->body, &reply); !read.ok()) co_return fail(context, "reading the answer", read.error());
  co_return co_await follow(context, flags, reply.eval_id());
}

io::Task<int> job_revert(Context& context, const Flags& flags) {
  if (flags.words().size() != 2) co_return usage(context, "This command takes two arguments: <job> <version>");
  Result<JobName> name = co_await find_job(context, flags.words()[0]);
  if (!name.ok()) co_return usage(context, name.error().message());
  Result<uint64_t> version = parse_uint(flags.words()[1]);
  if (!version.ok()) co_return fail(context, "converting version to integer", version.error());
  schema::JobRevertRequest request;
  request.set_job_id(name->id);
  request.set_job_version(*version);
  schema::JobRegisterReply reply;
  Result<> put = co_await context.put_into(job_path(*name, "/revert"), in_space(name->space), request, &reply);
  if (!put.ok()) co_return fail(context, "reverting job", put.error());
  co_return co_await follow(context, flags, reply.eval_id());
}

namespace {

// As comments, so that source and variables together are still a job file.
void show_variables(Context& context, const schema::JobSubmission& submission) {
  for (const auto& [name, value] : sorted(submission.variable_flags())) context.ui().line(std::format("# -var {}={}", name, printable(value)));
  for (const std::string_view line : split(submission.variables(), '\n')) {
    if (!trim(line).empty()) context.ui().line(std::format("# -var-file {}", line));
  }
}

}  // namespace

io::Task<int> job_inspect(Context& context, const Flags& flags) {
  if (flags.words().size() != 1) co_return usage(context, "This command takes one argument: <job>");
  Result<JobName> name = co_await find_job(context, flags.words()[0]);
  if (!name.ok()) co_return usage(context, name.error().message());
  if (flags.on("hcl")) {
    schema::Job job;
    Result<> got = co_await context.get_into(job_path(*name), in_space(name->space), &job);
    if (!got.ok()) co_return fail(context, "inspecting job", got.error());
    http::Query query = in_space(name->space);
    query.add("version", flags.text("version", std::to_string(job.version())));
    schema::JobSubmission submission;
    got = co_await context.get_into(job_path(*name, "/submission"), std::move(query), &submission);
    if (!got.ok()) co_return fail(context, "retrieving the job's source", got.error());
    if (flags.on("with-vars")) show_variables(context, submission);
    context.ui().raw(submission.source());
    co_return 0;
  }
  schema::SingleJobReply reply;
  if (flags.given("version")) {
    Result<uint64_t> version = flags.unsigned_number("version", 0);
    if (!version.ok()) co_return fail(context, "parsing version", version.error());
    schema::JobVersionsReply versions;
    Result<> got = co_await context.get_into(job_path(*name, "/versions"), in_space(name->space), &versions);
    if (!got.ok()) co_return fail(context, "inspecting job", got.error());
    for (schema::Job& job : *versions.mutable_versions()) {
      if (job.version() == *version) *reply.mutable_job() = std::move(job);
    }
    if (!reply.has_job()) co_return usage(context, std::format("Error inspecting job: version {} is not kept any more", *version));
  } else {
    Result<> got = co_await context.get_into(job_path(*name), in_space(name->space), reply.mutable_job());
    if (!got.ok()) co_return fail(context, "inspecting job", got.error());
  }
  context.ui().line("{\n    \"Job\": " + [&] {
    schema::WriteOptions pretty;
    pretty.style = json::Style::kPretty;
    std::string text = schema::write_json(reply.job(), pretty);
    for (size_t at = text.find('\n'); at != std::string::npos; at = text.find('\n', at + 5)) text.insert(at + 1, "    ");
    return text;
  }() + "\n}");
  co_return 0;
}

io::Task<int> job_history(Context& context, const Flags& flags) {
  if (flags.words().size() != 1) co_return usage(context, "This command takes one argument: <job>");
  Result<JobName> name = co_await find_job(context, flags.words()[0]);
  if (!name.ok()) co_return usage(context, name.error().message());
  http::Query query = in_space(name->space);
  if (flags.on("p")) query.add("diffs", "true");
  for (const auto& [flag, parameter] : {std::pair{"diff-version", "diff_version"}, {"diff-tag", "diff_tag"}}) {
    if (!flags.given(flag)) continue;
    if (!flags.on("p")) co_return usage(context, std::format("-{} needs -p", flag));
    query.add(parameter, flags.text(flag));
  }
  schema::JobVersionsReply reply;
  Result<> got = co_await context.get_into(job_path(*name, "/versions"), std::move(query), &reply);
  if (!got.ok()) co_return fail(context, "retrieving job versions", got.error());
  if (flags.on("json")) co_return print_json(context, reply, "versions");
  for (int i = 0; i < reply.versions_size(); ++i) {
    const schema::Job& job = reply.versions(i);
    if (flags.given("version") && flags.text("version") != std::to_string(job.version())) continue;
    if (i > 0) context.ui().line();
    context.ui().line(key_values({{"Version", std::to_string(job.version())}, {"Stable", job.stable() ? "true" : "false"}, {"Submit Date", date(job.submit_time())}}));
    if (flags.on("p") && i < reply.diffs_size()) context.ui().raw("Diff        =\n" + show_diff(reply.diffs(i), flags.on("full"), context.ui()));
    if (flags.on("full")) print_json(context, job);
  }
  co_return 0;
}

namespace {

constexpr std::string_view kExampleShort = R"hcl(job "example" {
  group "web" {
    network {
      port "http" {}
    }

    task "server" {
      driver = "exec"

      config {
        command = "/bin/sh"
        args    = ["-c", "while :; do echo \"$NOMAD_ALLOC_ID listens on $NOMAD_PORT_http\"; sleep 10; done"]
      }

      resources {
        cpu    = 100
        memory = 64
      }
    }
  }
}
)hcl";

constexpr std::string_view kExample = R"hcl(# A service of one task that runs on any node with the exec driver. Try it:
#
#   steppe job run example.nomad.hcl
#   steppe job status example
#   steppe alloc logs -job example

job "example" {
  # "service" tasks are kept running; "batch" ones run to completion.
  type = "service"

  # Which datacenters may take it. The default, ["*"], is all of them.
  datacenters = ["*"]

  group "web" {
    count = 1

    # The group's ports. One without `static` is chosen by the scheduler.
    network {
      port "http" {}
    }

    # How often a task that fails is started again before the allocation is given up.
    restart {
      attempts = 2
      interval = "30m"
      delay    = "15s"
      mode     = "fail"
    }

    task "server" {
      # A read-only root, its own namespaces, no privileges, resource limits.
      driver = "exec"

      config {
        command = "/bin/sh"
        args    = ["-c", "while :; do echo \"$NOMAD_ALLOC_ID listens on $NOMAD_PORT_http: $GREETING\"; sleep 10; done"]
      }

      env {
        GREETING = "hello from ${node.unique.name}"
      }

      # What the scheduler sets aside: MHz and MB.
      resources {
        cpu    = 100
        memory = 64
      }
    }
  }
}
)hcl";

}  // namespace

io::Task<int> job_init(Context& context, const Flags& flags) {
  if (flags.words().size() > 1) co_return usage(context, "This command takes no arguments or one: <filename>");
  const std::string path = flags.words().empty() ? "example.nomad.hcl" : flags.words()[0];
  Result<> made = io::create_path(path, flags.on("short") ? kExampleShort : kExample);
  if (!made.ok() && made.error().code() == Code::kExists) co_return usage(context, std::format("Job file '{}' already exists", path));
  if (!made.ok()) co_return fail(context, "writing the job file", made.error());
  context.ui().line(std::format("Example job file written to {}", path));
  co_return 0;
}

}  // namespace steppe::cli
