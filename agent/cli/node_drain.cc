#include <format>
#include <map>

#include "agent/cli/commands.h"
#include "agent/cli/show.h"
#include "agent/schema/alloc.pb.h"
#include "agent/schema/codec.h"
#include "agent/schema/node.pb.h"
#include "agent/schema/rpc.pb.h"
#include "init/base/text.h"

namespace steppe::cli {

namespace {

constexpr Duration kDefaultDeadline = std::chrono::hours(1);
constexpr const char* kLook = "2s";  // how long a look waits for news of the allocations before the node is looked at again

Result<> check_drain_flags(const Flags& flags) {
  const bool enable = flags.on("enable"), disable = flags.on("disable");
  if (enable && disable) return Error(Code::kInvalid, "The '-enable' and '-disable' flags can't be combined");
  if (!enable && !disable && !flags.on("monitor")) return Error(Code::kInvalid, "Either the '-enable' or '-disable' flag must be set, unless using '-monitor'");
  if (flags.on("detach") && flags.on("monitor")) return Error(Code::kInvalid, "The -monitor flag can't be combined with -detach");
  for (const char* name : {"deadline", "force", "no-deadline", "ignore-system"}) {
    if (flags.given(name) && !enable) return Error(Code::kInvalid, std::format("-{} configures a drain: it goes with -enable only", name));
  }
  if (flags.on("keep-ineligible") && !disable) return Error(Code::kInvalid, "-keep-ineligible goes with -disable only: a node that drains is ineligible anyway");
  if (flags.on("force") && (flags.given("deadline") || flags.on("no-deadline"))) return Error(Code::kInvalid, "-deadline and -no-deadline can't be combined with -force");
  if (flags.given("deadline") && flags.on("no-deadline")) return Error(Code::kInvalid, "-deadline and -no-deadline can't be combined");
  if (flags.words().size() > 1 || flags.words().empty() != flags.on("self")) return Error(Code::kInvalid, "This command takes one argument: <node>, or -self without one");
  return {};
}

// As the API wants it: -1 ns stops all at once, 0 sets no end.
Result<int64_t> deadline_of(const Flags& flags) {
  if (flags.on("force")) return -1;
  if (flags.on("no-deadline")) return 0;
  if (!flags.given("deadline")) return kDefaultDeadline.count();
  const Result<Duration> given = parse_duration(flags.text("deadline"));
  if (!given.ok() || given->count() <= 0) {
    return Error(Code::kInvalid, std::format("invalid value \"{}\" for flag -deadline: expected a positive duration such as 30m or 1h", flags.text("deadline")));
  }
  return given->count();
}

Result<> fill_meta(const Flags& flags, schema::NodeUpdateDrainRequest& request) {
  if (flags.given("m")) (*request.mutable_meta())["message"] = flags.text("m");
  for (const std::string& pair : flags.list("meta")) {
    const size_t equals = pair.find('=');
    if (equals == std::string::npos || equals == 0) return Error(Code::kInvalid, std::format("invalid value \"{}\" for flag -meta: expected key=value", pair));
    (*request.mutable_meta())[pair.substr(0, equals)] = pair.substr(equals + 1);
  }
  return {};
}

bool over(const schema::Allocation& alloc) {
  const std::string& status = alloc.client_status();
  return status == "complete" || status == "failed" || status == "lost";
}

// Tells what a drain does to the node's allocations, each change once.
class DrainTeller {
 public:
  explicit DrainTeller(Context& context) : context_(context) {}

  void tell(std::string_view text) { context_.ui().line(std::format("{}: {}", date(context_.now_ns()), text)); }

  // How many of those that were told to stop still run.
  size_t look(const schema::NodeAllocsReply& reply) {
    size_t ending = 0;
    for (const schema::Allocation& alloc : reply.allocs()) {
      const bool stops = alloc.desired_status() != "run";
      ending += stops && !over(alloc);
      const bool migrates = alloc.desired_transition().migrate();
      const auto [known, fresh] = known_.emplace(alloc.id(), Known{alloc.client_status(), stops, migrates});
      if (fresh) continue;
      if (migrates && !known->second.migrates) tell(std::format("Alloc \"{}\" marked for migration", alloc.id()));
      if (stops && !known->second.stops) tell(std::format("Alloc \"{}\" draining", alloc.id()));
      if (known->second.status != alloc.client_status()) tell(std::format("Alloc \"{}\" status {} -> {}", alloc.id(), known->second.status, alloc.client_status()));
      known->second = {alloc.client_status(), stops, migrates};
    }
    return ending;
  }

 private:
  struct Known {
    std::string status;
    bool stops = false, migrates = false;
  };
  Context& context_;
  std::map<std::string, Known> known_;
};

// The node's allocations once they differ from those at `index`, or after a while; moves the index on.
io::Task<Result<>> look_at_allocs(Context& context, std::string node_id, uint64_t& index, schema::NodeAllocsReply& reply) {
  http::Query query;
  query.add("index", std::to_string(index));
  query.add("wait", kLook);
  STEPPE_CO_TRY(const http::Response response, co_await context.request("GET", std::format("/v1/node/{}/allocations", node_id), std::move(query)));
  if (const std::string* header = http::find_header(response.headers, "X-Nomad-Index")) index = parse_uint(*header).value_or(0);
  schema::ReadOptions limits;
  limits.max_bytes = size_t{256} << 20;
  co_return schema::read_json(std::format("{{\"Allocs\":{}}}", response.body), &reply, limits).wrap("answer of the agent");
}

io::Task<int> follow_drain(Context& context, std::string node_id) {
  DrainTeller teller(context);
  uint64_t index = 0;
  bool drained = false;
  while (true) {
    schema::Node node;
    Result<> got = co_await context.get_into("/v1/node/" + node_id, {}, &node);
    if (!got.ok()) co_return fail(context, "reading node", got.error());
    schema::NodeAllocsReply allocs;
    got = co_await look_at_allocs(context, node_id, index, allocs);
    if (!got.ok()) co_return fail(context, "reading allocations", got.error());
    const size_t ending = teller.look(allocs);
    if (node.has_drain_strategy()) continue;
    const std::string& status = node.last_drain().status();
    if (!drained) teller.tell(status == "complete" ? std::format("Drain complete for node {}", node_id) : status == "canceled" ? std::format("Drain canceled for node {}", node_id) : std::format("No drain strategy set for node {}", node_id));
    drained = true;
    if (status != "complete") co_return 0;
    if (ending > 0) continue;
    teller.tell(std::format("All allocations on node \"{}\" have stopped", node_id));
    co_return 0;
  }
}

}  // namespace

io::Task<int> node_drain(Context& context, const Flags& flags) {
  schema::NodeUpdateDrainRequest request;
  if (Result<> checked = check_drain_flags(flags); !checked.ok()) co_return usage(context, checked.error().message());
  if (Result<> meta = fill_meta(flags, request); !meta.ok()) co_return usage(context, meta.error().message());
  const Result<int64_t> deadline = deadline_of(flags);
  if (!deadline.ok()) co_return usage(context, deadline.error().message());
  Result<std::string> id = Error(Code::kInvalid, "");
  if (flags.on("self")) id = co_await own_node(context);
  else id = co_await find_node(context, flags.words()[0]);
  if (!id.ok()) co_return usage(context, id.error().message());
  if (flags.on("enable") || flags.on("disable")) {
    request.set_node_id(*id);
    if (flags.on("enable")) {
      request.mutable_drain_spec()->set_deadline(*deadline);
      request.mutable_drain_spec()->set_ignore_system_jobs(flags.on("ignore-system"));
    } else {
      request.set_mark_eligible(!flags.on("keep-ineligible"));
    }
    schema::NodeDrainReply reply;
    Result<> put = co_await context.put_into(std::format("/v1/node/{}/drain", *id), {}, request, &reply);
    if (!put.ok()) co_return fail(context, "updating drain specification", put.error());
    context.ui().line(std::format("Node \"{}\" drain strategy {}", *id, flags.on("enable") ? "set" : "unset"));
    if (flags.on("disable") || flags.on("detach")) co_return 0;
  }
  context.ui().line(std::format("{}: Monitoring node \"{}\": Ctrl-C to detach monitoring, which does not end the drain", date(context.now_ns()), *id));
  co_return co_await follow_drain(context, *id);
}

}  // namespace steppe::cli
