#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <format>

#include "agent/cli/commands.h"
#include "agent/cli/show.h"
#include "agent/schema/codec.h"
#include "agent/schema/plan.pb.h"
#include "agent/schema/rpc.pb.h"
#include "init/base/assert.h"
#include "init/base/text.h"
#include "init/json/reader.h"

namespace steppe::cli {

int print_json(Context& context, const google::protobuf::Message& message, std::string_view list_field) {
  schema::WriteOptions pretty;
  pretty.style = json::Style::kPretty;
  if (list_field.empty()) {
    context.ui().line(schema::write_json(message, pretty));
  } else {
    const auto* field = message.GetDescriptor()->FindFieldByName(std::string(list_field));
    STEPPE_ASSERT(field != nullptr);
    context.ui().line(schema::write_field_json(message, *field, pretty));
  }
  return 0;
}

io::Task<int> eval_list(Context& context, const Flags& flags) {
  http::Query query;
  for (const auto& [flag, parameter] : {std::pair{"job", "job"}, {"status", "status"}, {"filter", "filter"}, {"per-page", "per_page"}, {"page-token", "next_token"}}) {
    if (flags.given(flag)) query.add(parameter, flags.text(flag));
  }
  schema::EvalListReply reply;
  Result<> got = co_await context.get_into("/v1/evaluations", std::move(query), &reply, "Evaluations");
  if (!got.ok()) co_return fail(context, "querying evaluations", got.error());
  if (flags.on("json")) co_return print_json(context, reply, "evaluations");
  if (reply.evaluations().empty()) {
    context.ui().line("No evals found");
    co_return 0;
  }
  const bool verbose = flags.on("verbose");
  std::vector<Row> rows{{"ID", "Priority", "Triggered By", "Job ID", "Namespace", "Node ID", "Status", "Placement Failures"}};
  for (const schema::Evaluation& eval : reply.evaluations()) {
    rows.push_back({short_id(eval.id(), verbose), std::to_string(eval.priority()), eval.triggered_by(), eval.job_id(), eval.namespace_(), short_id(eval.node_id(), verbose), eval.status(),
                    eval.status() == "blocked" ? "N/A - In Progress" : eval.failed_tg_allocs().empty() ? "false" : "true"});
  }
  context.ui().line(table(rows));
  co_return 0;
}

io::Task<int> eval_status(Context& context, const Flags& flags) {
  if (flags.words().size() != 1) co_return usage(context, "This command takes one argument: <evaluation>");
  Result<std::string> id = co_await find_eval(context, flags.words()[0]);
  if (!id.ok()) co_return usage(context, id.error().message());
  if (flags.on("monitor")) co_return co_await monitor_eval(context, *id, flags.on("verbose"));
  schema::Evaluation eval;
  Result<> got = co_await context.get_into("/v1/evaluation/" + *id, {}, &eval);
  if (!got.ok()) co_return fail(context, "querying evaluation", got.error());
  if (flags.on("json")) co_return print_json(context, eval);
  const bool verbose = flags.on("verbose");
  const bool failed = !eval.failed_tg_allocs().empty();
  std::vector<Row> rows{{"ID", short_id(eval.id(), verbose)},
                        {"Create Time", age(eval.create_time(), context.now_ns(), verbose)},
                        {"Modify Time", age(eval.modify_time(), context.now_ns(), verbose)},
                        {"Status", eval.status()},
                        {"Status Description", eval.status_description().empty() ? eval.status() : eval.status_description()},
                        {"Type", eval.type()},
                        {"TriggeredBy", eval.triggered_by()}};
  if (!eval.job_id().empty()) rows.push_back({"Job ID", eval.job_id()});
  if (!eval.node_id().empty()) rows.push_back({"Node ID", short_id(eval.node_id(), verbose)});
  rows.push_back({"Namespace", eval.namespace_()});
  rows.push_back({"Priority", std::to_string(eval.priority())});
  rows.push_back({"Placement Failures", eval.status() == "blocked" ? "N/A - In Progress" : failed ? "true" : "false"});
  if (!eval.previous_eval().empty()) rows.push_back({"Previous Eval", short_id(eval.previous_eval(), verbose)});
  if (!eval.next_eval().empty()) rows.push_back({"Next Eval", short_id(eval.next_eval(), verbose)});
  if (!eval.blocked_eval().empty()) rows.push_back({"Blocked Eval", short_id(eval.blocked_eval(), verbose)});
  context.ui().line(key_values(rows));
  if (failed) {
    context.ui().line("\n" + context.ui().bold("Failed Placements"));
    for (const auto& [group, metric] : sorted(eval.failed_tg_allocs())) {
      const auto count = metric.coalesced_failures() + 1;
      context.ui().line(std::format("Task Group \"{}\" (failed to place {} allocation{}):\n{}\n", group, count, count == 1 ? "" : "s", show_metric(metric, false, "  ")));
    }
  }
  co_return 0;
}

io::Task<int> deployment_list(Context& context, const Flags& flags) {
  schema::DeploymentListReply reply;
  Result<> got = co_await context.get_into("/v1/deployments", {}, &reply, "Deployments");
  if (!got.ok()) co_return fail(context, "retrieving deployments", got.error());
  if (flags.on("json")) co_return print_json(context, reply, "deployments");
  if (reply.deployments().empty()) {
    context.ui().line("No deployments found");
    co_return 0;
  }
  std::vector<Row> rows{{"ID", "Job ID", "Job Version", "Status", "Description"}};
  for (const schema::Deployment& deployment : reply.deployments()) {
    rows.push_back({short_id(deployment.id(), flags.on("verbose")), deployment.job_id(), std::to_string(deployment.job_version()), deployment.status(), deployment.status_description()});
  }
  context.ui().line(table(rows));
  co_return 0;
}

io::Task<int> deployment_status(Context& context, const Flags& flags) {
  if (flags.words().empty()) co_return co_await deployment_list(context, flags);
  if (flags.words().size() > 1) co_return usage(context, "This command takes one argument: <deployment id>");
  Result<std::string> id = co_await find_deployment(context, flags.words()[0]);
  if (!id.ok()) co_return usage(context, id.error().message());
  schema::Deployment found;
  Result<> got = co_await context.get_into("/v1/deployment/" + *id, {}, &found);
  if (!got.ok()) co_return fail(context, "retrieving deployment", got.error());
  if (flags.on("json")) co_return print_json(context, found);
  context.ui().line(std::format("Job ID = {}, Version = {}\n{}", found.job_id(), found.job_version(), show_deployment(found, flags.on("verbose"))));
  co_return 0;
}

io::Task<int> server_members(Context& context, const Flags& flags) {
  schema::ServerMembersReply reply;
  Result<> got = co_await context.get_into("/v1/agent/members", {}, &reply);
  if (!got.ok()) co_return fail(context, "querying servers", got.error());
  if (flags.on("json")) co_return print_json(context, reply, "members");
  Result<std::string> leader = co_await context.get("/v1/status/leader");
  std::vector<Row> rows{{"Name", "Address", "Port", "Status", "Leader", "Raft Version", "Build", "Datacenter", "Region"}};
  for (const schema::ServerMember& member : reply.members()) {
    const auto tag = [&](const char* name) { return member.tags().contains(name) ? member.tags().at(name) : std::string(); };
    const std::string rpc = std::format("\"{}:{}\"", member.addr(), tag("port"));
    rows.push_back({member.name(), member.addr(), std::to_string(member.port()), member.status(), leader.ok() && *leader == rpc ? "true" : "false", tag("raft_vsn"), tag("build"), tag("dc"), tag("region")});
  }
  context.ui().line(table(rows));
  co_return 0;
}

// Whatever the id names: a job, a node, an allocation or an evaluation.
io::Task<int> status(Context& context, const Flags& flags) {
  if (flags.words().empty()) co_return co_await job_status(context, flags);
  const std::string& prefix = flags.words()[0];
  if ((co_await find_job(context, prefix)).ok()) co_return co_await job_status(context, flags);
  if ((co_await find_alloc(context, prefix)).ok()) co_return co_await alloc_status(context, flags);
  if ((co_await find_node(context, prefix)).ok()) co_return co_await node_status(context, flags);
  if ((co_await find_eval(context, prefix)).ok()) co_return co_await eval_status(context, flags);
  co_return usage(context, std::format("Unable to resolve ID: {}", prefix));
}

io::Task<int> version(Context& context, const Flags&) {
  // Programs that call us `nomad` read the version from the first line.
  if (context.program() == "nomad") context.ui().line("Nomad v2.0.6\nSteppe v0.1.0");
  else context.ui().line("Steppe v0.1.0 (answers as Nomad v2.0.6)");
  co_return 0;
}

io::Task<int> system_gc(Context& context, const Flags&) {
  Result<http::Response> response = co_await context.request("PUT", "/v1/system/gc", {});
  if (!response.ok()) co_return fail(context, "running system garbage-collection", response.error());
  co_return 0;
}

io::Task<int> system_reconcile(Context& context, const Flags&) {
  Result<http::Response> response = co_await context.request("PUT", "/v1/system/reconcile/summaries", {});
  if (!response.ok()) co_return fail(context, "running system summary reconciliation", response.error());
  co_return 0;
}

namespace {

io::Task<int> print_path(Context& context, std::string path, http::Query query) {
  Result<std::string> body = co_await context.get(std::move(path), std::move(query));
  if (!body.ok()) co_return fail(context, "querying the agent", body.error());
  context.ui().line(*body);
  co_return 0;
}

}  // namespace

io::Task<int> agent_info(Context& context, const Flags&) {
  http::Query query;
  query.add("pretty", "true");
  return print_path(context, "/v1/agent/self", std::move(query));
}

io::Task<int> operator_metrics(Context& context, const Flags& flags) {
  http::Query query;
  if (flags.given("format")) query.add("format", flags.text("format"));
  if (flags.on("pretty")) query.add("pretty", "true");
  return print_path(context, "/v1/metrics", std::move(query));
}

io::Task<int> operator_api(Context& context, const Flags& flags) {
  if (flags.words().size() != 1) co_return usage(context, "This command takes one argument: <path>");
  std::string path = flags.words()[0];
  if (!path.starts_with("/")) path = "/" + path;
  http::Query query;
  if (const size_t mark = path.find('?'); mark != std::string::npos) {
    Result<http::Query> parsed = http::Query::parse(std::string_view(path).substr(mark + 1));
    if (!parsed.ok()) co_return fail(context, "reading the query", parsed.error());
    query = std::move(*parsed);
    path.resize(mark);
  }
  Result<http::Response> response = co_await context.request(flags.text("X", "GET"), std::move(path), std::move(query), flags.text("d"));
  if (!response.ok()) co_return fail(context, "calling the API", response.error());
  context.ui().raw(response->body);
  co_return 0;
}

}  // namespace steppe::cli
