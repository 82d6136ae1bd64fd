#include <algorithm>
#include <format>

#include "agent/cli/commands.h"
#include "agent/cli/show.h"
#include "agent/schema/alloc.pb.h"
#include "agent/schema/codec.h"
#include "agent/schema/job.pb.h"
#include "agent/schema/rpc.pb.h"
#include "agent/schema/stats.pb.h"

namespace steppe::cli {

namespace {

void show_basics(Context& context, const schema::Allocation& alloc, bool verbose) {
  const int64_t now = context.now_ns();
  std::vector<Row> rows{{"ID", alloc.id()},
                        {"Eval ID", short_id(alloc.eval_id(), verbose)},
                        {"Name", alloc.name()},
                        {"Node ID", short_id(alloc.node_id(), verbose)},
                        {"Node Name", alloc.node_name()},
                        {"Job ID", alloc.job_id()},
                        {"Job Version", std::to_string(alloc.job().version())},
                        {"Client Status", alloc.client_status()},
                        {"Client Description", alloc.client_description().empty() ? "<none>" : alloc.client_description()},
                        {"Desired Status", alloc.desired_status()},
                        {"Desired Description", alloc.desired_description().empty() ? "<none>" : alloc.desired_description()},
                        {"Created", age(alloc.create_time(), now, verbose)},
                        {"Modified", age(alloc.modify_time(), now, verbose)}};
  if (!alloc.deployment_id().empty()) {
    const bool set = alloc.deployment_status().has_healthy();
    rows.push_back({"Deployment ID", short_id(alloc.deployment_id(), verbose)});
    rows.push_back({"Deployment Health", !set ? "unset" : alloc.deployment_status().healthy() ? "healthy" : "unhealthy"});
    if (alloc.deployment_status().canary()) rows.push_back({"Canary", "true"});
  }
  if (!alloc.previous_allocation().empty()) rows.push_back({"Replacement of", short_id(alloc.previous_allocation(), verbose)});
  if (!alloc.next_allocation().empty()) rows.push_back({"Replacement Alloc ID", short_id(alloc.next_allocation(), verbose)});
  if (!alloc.followup_eval_id().empty()) rows.push_back({"Follow-up Eval ID", short_id(alloc.followup_eval_id(), verbose)});
  context.ui().line(key_values(rows));
}

void show_addresses(Context& context, const schema::Allocation& alloc) {
  const auto& ports = alloc.allocated_resources().shared().ports();
  if (ports.empty()) return;
  std::vector<Row> rows{{"Label", "Dynamic", "Address"}};
  for (const schema::AllocatedPortMapping& port : ports) {
    bool is_static = false;
    for (const schema::NetworkResource& network : alloc.allocated_resources().shared().networks()) {
      for (const schema::Port& reserved : network.reserved_ports()) is_static = is_static || reserved.label() == port.label();
    }
    std::string address = std::format("{}:{}", port.host_ip(), port.value());
    if (port.to() > 0 && port.to() != port.value()) address += std::format(" -> {}", port.to());
    rows.push_back({"*" + port.label(), is_static ? "no" : "yes", address});
  }
  context.ui().line("\n" + context.ui().bold("Allocation Addresses:") + "\n" + table(rows));
}

void show_task(Context& context, const schema::Allocation& alloc, const std::string& name, const schema::TaskState& state, const schema::AllocResourceUsage* usage, bool verbose) {
  Ui& ui = context.ui();
  ui.line(std::format("\n{} \"{}\" is {}\"{}\"", ui.bold("Task"), name, state.failed() ? "failed and " : "", state.state()));
  const auto resources = alloc.allocated_resources().tasks().find(name);
  if (resources != alloc.allocated_resources().tasks().end()) {
    std::string cpu = std::format("{} MHz", resources->second.cpu().cpu_shares());
    std::string memory = std::format("{} MiB", resources->second.memory().memory_mb());
    if (usage != nullptr) {
      if (const auto task = usage->tasks().find(name); task != usage->tasks().end()) {
        cpu = std::format("{:.0f}/{}", task->second.resource_usage().cpu_stats().total_ticks(), cpu);
        const schema::MemoryStats& stats = task->second.resource_usage().memory_stats();
        memory = std::format("{}/{}", size_text(stats.usage() > 0 ? stats.usage() : stats.rss()), memory);
      }
    }
    ui.line(std::format("{}:\n{}", "Task Resources", table({{"CPU", "Memory", "Disk", "Addresses"}, {cpu, memory, std::format("{} MiB", alloc.allocated_resources().shared().disk_mb()), " "}})));
  }
  ui.line("\nTask Events:\n" + key_values({{"Started At", state.started_at() == 0 ? "N/A" : date(state.started_at())},
                                           {"Finished At", state.finished_at() == 0 ? "N/A" : date(state.finished_at())},
                                           {"Total Restarts", std::to_string(state.restarts())},
                                           {"Last Restart", state.last_restart() == 0 ? "N/A" : date(state.last_restart())}}));
  std::vector<Row> rows{{"Time", "Type", "Description"}};
  for (auto event = state.events().rbegin(); event != state.events().rend(); ++event) {
    rows.push_back({date(event->time()), event->type(), event->display_message()});
  }
  ui.line("\nRecent Events:\n" + table(rows));
  static_cast<void>(verbose);
}

}  // namespace

io::Task<int> alloc_status(Context& context, const Flags& flags) {
  const bool verbose = flags.on("verbose");
  if (flags.words().empty() && (flags.on("json") || context.options().space.empty())) {
    schema::AllocListReply list;
    Result<> got = co_await context.get_into("/v1/allocations", {}, &list, "Allocations");
    if (!got.ok()) co_return fail(context, "querying allocations", got.error());
    if (flags.on("json")) co_return print_json(context, list, "allocations");
    context.ui().line(show_allocs(list.allocations(), context.now_ns(), verbose));
    co_return 0;
  }
  if (flags.words().size() != 1) co_return usage(context, "This command takes one of the following argument conditions:\n * A single <allocation>\n * No arguments, with the -json flag");
  Result<std::string> id = co_await find_alloc(context, flags.words()[0]);
  if (!id.ok()) co_return usage(context, id.error().message());
  schema::Allocation alloc;
  Result<> got = co_await context.get_into("/v1/allocation/" + *id, {}, &alloc);
  if (!got.ok()) co_return fail(context, "querying allocation", got.error());
  if (flags.on("json")) co_return print_json(context, alloc);
  show_basics(context, alloc, verbose);
  schema::AllocResourceUsage usage_now;
  bool have_usage = false;
  if (alloc.client_status() == "running") {
    have_usage = (co_await context.get_into(std::format("/v1/client/allocation/{}/stats", *id), {}, &usage_now)).ok();
  }
  if (flags.on("short")) {
    std::vector<Row> rows{{"Name", "State", "Last Event", "Time", "Lifecycle"}};
    for (const auto& [name, state] : sorted(alloc.task_states())) {
      const bool any = state.events_size() > 0;
      rows.push_back({name, state.state(), any ? state.events(state.events_size() - 1).type() : "", any ? date(state.events(state.events_size() - 1).time()) : "", "main"});
    }
    context.ui().line("\n" + context.ui().bold("Tasks") + "\n" + table(rows));
    co_return 0;
  }
  show_addresses(context, alloc);
  for (const auto& [name, state] : sorted(alloc.task_states())) show_task(context, alloc, name, state, have_usage ? &usage_now : nullptr, verbose);
  if (verbose && alloc.has_metrics()) context.ui().line("\n" + context.ui().bold("Placement Metrics") + "\n" + show_metric(alloc.metrics(), true, "  "));
  co_return 0;
}

io::Task<int> alloc_stop(Context& context, const Flags& flags) {
  if (flags.words().size() != 1) co_return usage(context, "This command takes one argument: <alloc-id>");
  Result<std::string> id = co_await find_alloc(context, flags.words()[0]);
  if (!id.ok()) co_return usage(context, id.error().message());
  http::Query query;
  query.add("no_shutdown_delay", flags.on("no-shutdown-delay") ? "true" : "false");
  Result<http::Response> response = co_await context.request("PUT", std::format("/v1/allocation/{}/stop", *id), std::move(query));
  if (!response.ok()) co_return fail(context, "stopping allocation", response.error());
  schema::AllocStopReply reply;
  if (Result<> read = schema::read_json(response->body, &reply); !read.ok()) co_return fail(context, "reading the answer", read.error());
  if (flags.on("detach")) {
    context.ui().line(reply.eval_id());
    co_return 0;
  }
  co_return co_await monitor_eval(context, reply.eval_id(), flags.on("verbose"));
}

io::Task<int> alloc_restart(Context& context, const Flags& flags) {
  if (flags.words().empty() || flags.words().size() > 2) co_return usage(context, "This command takes one or two arguments: <alloc-id> <task-name>");
  Result<std::string> id = co_await find_alloc(context, flags.words()[0]);
  if (!id.ok()) co_return usage(context, id.error().message());
  schema::AllocRestartRequest request;
  request.set_task_name(flags.words().size() == 2 ? flags.words()[1] : flags.text("task"));
  request.set_all_tasks(flags.on("all-tasks"));
  Result<> put = co_await context.put_into(std::format("/v1/client/allocation/{}/restart", *id), {}, request, nullptr);
  if (!put.ok()) co_return fail(context, "restarting allocation", put.error());
  co_return 0;
}

io::Task<int> alloc_signal(Context& context, const Flags& flags) {
  if (flags.words().empty() || flags.words().size() > 2) co_return usage(context, "This command takes up to two arguments: <alloc-id> <task>");
  Result<std::string> id = co_await find_alloc(context, flags.words()[0]);
  if (!id.ok()) co_return usage(context, id.error().message());
  schema::AllocSignalRequest request;
  request.set_signal(flags.text("s", "SIGKILL"));
  request.set_task(flags.words().size() == 2 ? flags.words()[1] : flags.text("task"));
  Result<> put = co_await context.put_into(std::format("/v1/client/allocation/{}/signal", *id), {}, request, nullptr);
  if (!put.ok()) co_return fail(context, "signalling allocation", put.error());
  co_return 0;
}

}  // namespace steppe::cli
