#include <algorithm>
#include <format>

#include "agent/cli/command.h"
#include "agent/schema/job.pb.h"
#include "agent/schema/plan.pb.h"
#include "agent/schema/rpc.pb.h"
#include "init/base/text.h"

namespace steppe::cli {

namespace {

// Whether some UUID begins like this.
bool may_begin_an_id(std::string_view prefix) {
  size_t digits = 0, hyphens = 0;
  for (const char c : prefix) {
    if (c == '-') ++hyphens;
    else if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')) ++digits;
    else return false;
  }
  return digits <= 32 && hyphens <= 4;
}

// Prefix lookups of UUIDs need an even number of digits.
std::string even_prefix(std::string prefix) {
  const auto digits = static_cast<size_t>(std::ranges::count_if(prefix, [](char c) { return c != '-'; }));
  if (digits % 2 == 0) return prefix;
  while (prefix.back() == '-') prefix.pop_back();
  prefix.pop_back();
  return prefix;
}

Error nothing(std::string_view kind, std::string_view prefix) {
  return {Code::kNotFound, std::format("No {} with prefix or id \"{}\" found", kind, prefix)};
}

// Names of what was found, when it is more than one.
Error several(std::string_view kind, const std::vector<Row>& rows) {
  return {Code::kInvalid, std::format("Prefix matched multiple {}\n\n{}", kind, table(rows))};
}

}  // namespace

io::Task<Result<std::string>> find_alloc(Context& context, std::string prefix) {
  if (prefix.size() < 2) co_return Error(Code::kInvalid, "Alloc ID must contain at least two characters.");
  prefix = lower(prefix);
  if (!may_begin_an_id(prefix)) co_return nothing("allocation(s)", prefix);
  http::Query query;
  query.add("prefix", even_prefix(prefix));
  query.add("namespace", context.options().space.empty() ? "*" : context.options().space);
  schema::AllocListReply reply;
  STEPPE_CO_TRY_VOID(co_await context.get_into("/v1/allocations", std::move(query), &reply, "Allocations"));
  std::vector<Row> rows{{"ID", "Node ID", "Task Group", "Version", "Desired", "Status"}};
  std::string id;
  for (const schema::AllocListStub& stub : reply.allocations()) {
    if (!stub.id().starts_with(prefix)) continue;
    id = stub.id();
    rows.push_back({short_id(stub.id(), false), short_id(stub.node_id(), false), stub.task_group(), std::to_string(stub.job_version()), stub.desired_status(), stub.client_status()});
  }
  if (rows.size() == 1) co_return nothing("allocation(s)", prefix);
  if (rows.size() > 2) co_return several("allocations", rows);
  co_return id;
}

io::Task<Result<std::string>> find_node(Context& context, std::string prefix) {
  if (prefix.size() < 2) co_return Error(Code::kInvalid, "Node ID must contain at least two characters.");
  prefix = lower(prefix);
  if (!may_begin_an_id(prefix)) co_return nothing("node(s)", prefix);
  http::Query query;
  query.add("prefix", even_prefix(prefix));
  schema::NodeListReply reply;
  STEPPE_CO_TRY_VOID(co_await context.get_into("/v1/nodes", std::move(query), &reply, "Nodes"));
  std::vector<Row> rows{{"ID", "DC", "Name", "Status"}};
  std::string id;
  for (const schema::NodeListStub& stub : reply.nodes()) {
    if (!stub.id().starts_with(prefix)) continue;
    id = stub.id();
    rows.push_back({short_id(stub.id(), false), stub.datacenter(), stub.name(), stub.status()});
  }
  if (rows.size() == 1) co_return nothing("node(s)", prefix);
  if (rows.size() > 2) co_return several("nodes", rows);
  co_return id;
}

io::Task<Result<std::string>> find_eval(Context& context, std::string prefix) {
  if (prefix.size() < 2) co_return Error(Code::kInvalid, "Identifier must contain at least two characters.");
  prefix = lower(prefix);
  if (!may_begin_an_id(prefix)) co_return nothing("evaluation(s)", prefix);
  http::Query query;
  query.add("prefix", even_prefix(prefix));
  query.add("namespace", context.options().space.empty() ? "*" : context.options().space);
  schema::EvalListReply reply;
  STEPPE_CO_TRY_VOID(co_await context.get_into("/v1/evaluations", std::move(query), &reply, "Evaluations"));
  std::vector<Row> rows{{"ID", "Priority", "Triggered By", "Status", "Placement Failures"}};
  std::string id;
  for (const schema::Evaluation& eval : reply.evaluations()) {
    if (!eval.id().starts_with(prefix)) continue;
    id = eval.id();
    rows.push_back({short_id(eval.id(), false), std::to_string(eval.priority()), eval.triggered_by(), eval.status(), eval.failed_tg_allocs().empty() ? "false" : "true"});
  }
  if (rows.size() == 1) co_return nothing("evaluation(s)", prefix);
  if (rows.size() > 2) co_return several("evaluations", rows);
  co_return id;
}

io::Task<Result<std::string>> find_deployment(Context& context, std::string prefix) {
  if (prefix.size() < 2) co_return Error(Code::kInvalid, "Deployment ID must contain at least two characters.");
  prefix = lower(prefix);
  if (!may_begin_an_id(prefix)) co_return nothing("deployment(s)", prefix);
  http::Query query;
  query.add("prefix", even_prefix(prefix));
  query.add("namespace", context.options().space.empty() ? "*" : context.options().space);
  schema::DeploymentListReply reply;
  STEPPE_CO_TRY_VOID(co_await context.get_into("/v1/deployments", std::move(query), &reply, "Deployments"));
  std::vector<Row> rows{{"ID", "Job ID", "Job Version", "Status", "Description"}};
  std::string id;
  for (const schema::Deployment& deployment : reply.deployments()) {
    if (!deployment.id().starts_with(prefix)) continue;
    id = deployment.id();
    rows.push_back({short_id(deployment.id(), false), deployment.job_id(), std::to_string(deployment.job_version()), deployment.status(), deployment.status_description()});
  }
  if (rows.size() == 1) co_return nothing("deployment(s)", prefix);
  if (rows.size() > 2) co_return several("deployments", rows);
  co_return id;
}

io::Task<Result<JobName>> find_job(Context& context, std::string prefix) {
  http::Query query;
  query.add("prefix", prefix);
  if (context.options().space.empty()) query.add("namespace", "*");
  schema::JobListReply reply;
  STEPPE_CO_TRY_VOID(co_await context.get_into("/v1/jobs", std::move(query), &reply, "Jobs"));
  std::vector<Row> rows{{"ID", "Namespace", "Type", "Priority", "Status", "Submit Date"}};
  JobName name;
  size_t exact = 0;
  JobName exact_name;
  for (const schema::JobListStub& stub : reply.jobs()) {
    name = {stub.id(), stub.namespace_()};
    if (stub.id() == prefix) {
      ++exact;
      exact_name = name;
    }
    rows.push_back({stub.id(), stub.namespace_(), stub.type(), std::to_string(stub.priority()), stub.status(), date(stub.submit_time())});
  }
  if (exact == 1) co_return exact_name;
  if (rows.size() == 1) co_return Error(Code::kNotFound, std::format("No job(s) with prefix or ID \"{}\" found", prefix));
  if (rows.size() > 2) co_return several("jobs", rows);
  co_return name;
}

http::Query in_space(const std::string& space) {
  http::Query query;
  if (!space.empty()) query.add("namespace", space);
  return query;
}

namespace {

// Texts of servers and of files: without what would drive the terminal, or leave blank lines on it.
std::string tidy(std::string_view text) {
  std::string out;
  for (const std::string_view line : split(trim(text), '\n')) {
    if (!out.empty()) out.push_back('\n');
    for (const std::string_view cell : split(line, '\t')) {
      if (cell.data() != line.data()) out.push_back('\t');
      out += printable(cell);
    }
  }
  return out;
}

}  // namespace

int fail(Context& context, std::string_view doing, const Error& error) {
  context.ui().error(std::format("Error {}: {}", doing, tidy(error.message())));
  return 1;
}

int usage(Context& context, std::string_view what) {
  context.ui().error(tidy(what));
  return 1;
}

}  // namespace steppe::cli
