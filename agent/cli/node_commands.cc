#include <algorithm>
#include <format>

#include "agent/cli/commands.h"
#include "agent/cli/show.h"
#include "agent/schema/alloc.pb.h"
#include "agent/schema/codec.h"
#include "agent/schema/node.pb.h"
#include "agent/schema/rpc.pb.h"
#include "agent/schema/stats.pb.h"
#include "init/base/text.h"
#include "init/json/reader.h"

namespace steppe::cli {

namespace {

std::string yes_no(bool value) { return value ? "true" : "false"; }

io::Task<int> list_nodes(Context& context, const Flags& flags) {
  schema::NodeListReply reply;
  http::Query query;
  if (flags.on("os")) query.add("os", "true");
  if (flags.given("per-page")) query.add("per_page", flags.text("per-page"));
  if (flags.given("page-token")) query.add("next_token", flags.text("page-token"));
  if (flags.given("filter")) query.add("filter", flags.text("filter"));
  Result<> got = co_await context.get_into("/v1/nodes", std::move(query), &reply, "Nodes");
  if (!got.ok()) co_return fail(context, "querying node status", got.error());
  if (flags.on("json")) co_return print_json(context, reply, "nodes");
  if (flags.on("quiet")) {
    for (const schema::NodeListStub& node : reply.nodes()) context.ui().line(short_id(node.id(), flags.on("verbose")));
    co_return 0;
  }
  if (reply.nodes().empty()) {
    context.ui().line("No nodes registered");
    co_return 0;
  }
  const bool verbose = flags.on("verbose");
  Row head{"ID", "Node Pool", "DC", "Name", "Class"};
  if (flags.on("os")) head.push_back("OS");
  if (verbose) head.insert(head.end(), {"Address", "Version"});
  head.insert(head.end(), {"Drain", "Eligibility", "Status"});
  if (flags.on("allocs")) head.push_back("Running Allocs");
  std::vector<Row> rows{head};
  for (const schema::NodeListStub& node : reply.nodes()) {
    Row row{short_id(node.id(), verbose), node.node_pool(), node.datacenter(), node.name(), node.node_class()};
    if (flags.on("os")) row.push_back(node.attributes().contains("os.name") ? node.attributes().at("os.name") : "");
    if (verbose) row.insert(row.end(), {node.address(), node.version()});
    row.insert(row.end(), {yes_no(node.drain()), node.scheduling_eligibility(), node.status()});
    if (flags.on("allocs")) {
      schema::NodeAllocsReply allocs;
      got = co_await context.get_into(std::format("/v1/node/{}/allocations", node.id()), {}, &allocs, "Allocs");
      const auto running = std::ranges::count_if(allocs.allocs(), [](const schema::Allocation& alloc) { return alloc.client_status() == "running"; });
      row.push_back(std::to_string(running));
    }
    rows.push_back(std::move(row));
  }
  context.ui().line(table(rows));
  co_return 0;
}

void show_resources(Context& context, const schema::Node& node, const schema::NodeAllocsReply& allocs) {
  int64_t cpu = 0, memory = 0, disk = 0;
  for (const schema::Allocation& alloc : allocs.allocs()) {
    if (alloc.client_status() == "complete" || alloc.client_status() == "failed" || alloc.client_status() == "lost") continue;
    for (const auto& [task, resources] : alloc.allocated_resources().tasks()) {
      cpu += resources.cpu().cpu_shares();
      memory += resources.memory().memory_mb();
    }
    disk += alloc.allocated_resources().shared().disk_mb();
  }
  constexpr uint64_t kMib = 1 << 20;
  const schema::NodeResources& all = node.node_resources();
  context.ui().line("\n" + context.ui().bold("Allocated Resources") + "\n" +
                    table({{"CPU", "Memory", "Disk"},
                           {std::format("{}/{} MHz", cpu, all.cpu().cpu_shares()),
                            std::format("{}/{}", size_text(static_cast<uint64_t>(memory) * kMib), size_text(static_cast<uint64_t>(all.memory().memory_mb()) * kMib)),
                            std::format("{}/{}", size_text(static_cast<uint64_t>(disk) * kMib), size_text(static_cast<uint64_t>(all.disk().disk_mb()) * kMib))}}));
}

io::Task<void> show_stats(Context& context, const schema::Node& node) {
  schema::HostStats stats;
  http::Query query;
  query.add("node_id", node.id());
  Result<> got = co_await context.get_into("/v1/client/stats", std::move(query), &stats);
  if (!got.ok()) {
    context.ui().line("\nError fetching node stats: " + got.error().message());
    co_return;
  }
  context.ui().line("\n" + context.ui().bold("Host Resource Utilization") + "\n" +
                    table({{"CPU", "Memory", "Disk"},
                           {std::format("{:.0f}/{} MHz", stats.cpu_ticks_consumed(), node.node_resources().cpu().cpu_shares()),
                            std::format("{}/{}", size_text(stats.memory().used()), size_text(stats.memory().total())),
                            stats.disk_stats().empty() ? "" : std::format("{}/{}", size_text(stats.disk_stats(0).used()), size_text(stats.disk_stats(0).size()))}}));
}

void show_node_basics(Context& context, const schema::Node& node, bool short_form) {
  std::vector<std::string> drivers;
  for (const auto& [name, info] : sorted(node.drivers())) {
    if (info.detected()) drivers.push_back(name + (info.healthy() ? "" : " (unhealthy)"));
  }
  std::vector<Row> rows{{"ID", node.id()}, {"Name", node.name()}, {"Node Pool", node.node_pool()}, {"Class", node.node_class().empty() ? "<none>" : node.node_class()},
                        {"DC", node.datacenter()}, {"Drain", yes_no(node.drain() || node.has_drain_strategy())}, {"Eligibility", node.scheduling_eligibility()}, {"Status", node.status()},
                        {"CSI Controllers", "<none>"}, {"CSI Drivers", "<none>"}};
  if (!short_form) {
    rows.push_back({"Drivers", join(drivers, ",")});
  }
  context.ui().line(context.ui().bold(key_values(rows)));
}

void show_verbose(Context& context, const schema::Node& node) {
  std::vector<Row> drivers{{"Driver", "Detected", "Healthy", "Message", "Time"}};
  for (const auto& [name, info] : sorted(node.drivers())) drivers.push_back({name, yes_no(info.detected()), yes_no(info.healthy()), info.health_description(), date(info.update_time())});
  context.ui().line("\n" + context.ui().bold("Drivers") + "\n" + table(drivers));
  std::vector<Row> events{{"Time", "Subsystem", "Message"}};
  for (auto event = node.events().rbegin(); event != node.events().rend(); ++event) events.push_back({date(event->timestamp()), event->subsystem(), event->message()});
  context.ui().line("\n" + context.ui().bold("Node Events") + "\n" + table(events));
  std::vector<Row> attributes;
  for (const auto& [key, value] : sorted(node.attributes())) attributes.push_back({key, value});
  context.ui().line("\n" + context.ui().bold("Attributes") + "\n" + key_values(attributes));
  std::vector<Row> meta;
  for (const auto& [key, value] : sorted(node.meta())) meta.push_back({key, value});
  if (!meta.empty()) context.ui().line("\n" + context.ui().bold("Meta") + "\n" + key_values(meta));
}

}  // namespace

io::Task<Result<std::string>> own_node(Context& context) {
  STEPPE_CO_TRY(const std::string body, co_await context.get("/v1/agent/self"));
  json::Reader reader(body);
  for (json::Kind kind = reader.next(); kind != json::Kind::kEnd && kind != json::Kind::kError; kind = reader.next()) {
    if (kind == json::Kind::kKey && reader.text() == "node_id" && reader.next() == json::Kind::kString) co_return std::string(reader.text());
  }
  co_return Error(Code::kNotFound, "the agent is not a client");
}

io::Task<int> node_status(Context& context, const Flags& flags) {
  if (flags.words().size() > 1) co_return usage(context, "This command takes either one or no arguments");
  if (flags.words().empty() && !flags.on("self")) co_return co_await list_nodes(context, flags);
  Result<std::string> id = Error(Code::kInvalid, "");
  if (flags.on("self")) id = co_await own_node(context);
  else id = co_await find_node(context, flags.words()[0]);
  if (!id.ok()) co_return usage(context, id.error().message());
  schema::Node node;
  Result<> got = co_await context.get_into("/v1/node/" + *id, {}, &node);
  if (!got.ok()) co_return fail(context, "querying node info", got.error());
  if (flags.on("json")) co_return print_json(context, node);
  show_node_basics(context, node, flags.on("short"));
  schema::NodeAllocsReply allocs;
  got = co_await context.get_into(std::format("/v1/node/{}/allocations", *id), {}, &allocs, "Allocs");
  if (!got.ok()) co_return fail(context, "querying node allocations", got.error());
  if (!flags.on("short")) {
    show_resources(context, node, allocs);
    if (flags.on("stats")) co_await show_stats(context, node);
  }
  const bool verbose = flags.on("verbose");
  std::vector<Row> rows{{"ID", "Node ID", "Task Group", "Version", "Desired", "Status", "Created", "Modified"}};
  for (const schema::Allocation& alloc : allocs.allocs()) {
    rows.push_back({short_id(alloc.id(), verbose), short_id(alloc.node_id(), verbose), alloc.task_group(), std::to_string(alloc.job().version()), alloc.desired_status(), alloc.client_status(),
                    age(alloc.create_time(), context.now_ns(), verbose), age(alloc.modify_time(), context.now_ns(), verbose)});
  }
  context.ui().line("\n" + context.ui().bold("Allocations") + "\n" + (rows.size() == 1 ? "No allocations placed" : table(rows)));
  if (verbose) show_verbose(context, node);
  co_return 0;
}

io::Task<int> node_eligibility(Context& context, const Flags& flags) {
  if (flags.on("enable") == flags.on("disable")) co_return usage(context, "Either the '-enable' or '-disable' flag must be set");
  if (flags.words().size() != (flags.on("self") ? 0u : 1u)) co_return usage(context, "Node ID must be specified if -self isn't being used");
  Result<std::string> id = Error(Code::kInvalid, "");
  if (flags.on("self")) id = co_await own_node(context);
  else id = co_await find_node(context, flags.words()[0]);
  if (!id.ok()) co_return usage(context, id.error().message());
  schema::NodeUpdateEligibilityRequest request;
  request.set_node_id(*id);
  request.set_eligibility(flags.on("enable") ? "eligible" : "ineligible");
  schema::NodeUpdateReply reply;
  Result<> put = co_await context.put_into(std::format("/v1/node/{}/eligibility", *id), {}, request, &reply);
  if (!put.ok()) co_return fail(context, "updating scheduling eligibility", put.error());
  context.ui().line(std::format("Node \"{}\" scheduling eligibility set: {} for scheduling", *id, flags.on("enable") ? "eligible" : "ineligible"));
  co_return 0;
}

}  // namespace steppe::cli
