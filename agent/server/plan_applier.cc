#include "agent/server/plan_applier.h"

#include <algorithm>
#include <format>

#include "agent/schema/log.pb.h"
#include "agent/schema/plan.pb.h"
#include "agent/scheduler/plan_check.h"
#include "agent/state/job_key.h"

namespace steppe::server {

using endpoint::Failure;
using endpoint::Outcome;
using telemetry::Metric;
using Reply = Outcome<std::unique_ptr<schema::PlanResult>>;

namespace {

// Leaves room for the evaluations of preempted jobs.
constexpr Bytes kMaxPlanCommand = Bytes::mib(3);

std::set<std::string> touched_nodes(const schema::Plan& plan) {
  std::set<std::string> nodes;
  for (const auto* lists : {&plan.node_update(), &plan.node_allocation(), &plan.node_preemptions()}) {
    for (const auto& [node, allocs] : *lists) nodes.insert(node);
  }
  return nodes;
}

// Protobuf maps have no order: what goes into the log must have one.
template <class Map>
std::vector<const schema::AllocationList*> by_node(const Map& lists) {
  std::map<std::string_view, const schema::AllocationList*> sorted;
  for (const auto& [node, allocs] : lists) sorted.emplace(node, &allocs);
  std::vector<const schema::AllocationList*> out;
  for (const auto& [node, allocs] : sorted) out.push_back(allocs);
  return out;
}

// The jobs whose allocs were evicted get an evaluation each: they have lost a part of what they need.
void add_preemption_evals(Core& core, const state::Snapshot& snapshot, const schema::PlanResult& result, schema::LogPlanApply* command) {
  std::map<std::string, state::JobSpecView> jobs;
  for (const schema::AllocationList* list : by_node(result.node_preemptions())) {
    for (const schema::Allocation& alloc : list->items()) {
      const auto id = AllocId::parse(alloc.id());
      const auto view = id.ok() ? snapshot.alloc(*id) : std::nullopt;
      if (view) jobs.emplace(state::job_key(view->ns(), view->job_id()), view->job());
    }
  }
  for (const auto& [key, job] : jobs) {
    *command->add_preemption_evals() = new_eval(core, job.ns(), job.id(), state::text(job.type()), job.priority(), "preemption");
  }
}

}  // namespace

namespace {

// Fills commands one after the other.
class CommandList {
 public:
  CommandList(const schema::Plan& plan, int64_t unix_ns, Bytes most) : plan_(plan), unix_ns_(unix_ns), most_(most) { begin(); }

  // The command that takes something of this size next.
  schema::LogPlanApply& room_for(size_t bytes) {
    if (size_ > base_ && size_ + bytes > most_.count) begin();
    size_ += bytes + 8;
    return commands_.back();
  }
  std::vector<schema::LogPlanApply> take() { return std::move(commands_); }

 private:
  void begin() {
    schema::LogPlanApply& command = commands_.emplace_back();
    if (plan_.has_job()) *command.mutable_job() = plan_.job();
    command.set_eval_id(plan_.eval_id());
    command.set_unix_ns(unix_ns_);
    base_ = size_ = command.ByteSizeLong();
  }

  const schema::Plan& plan_;
  int64_t unix_ns_;
  Bytes most_;
  size_t base_ = 0;
  size_t size_ = 0;
  std::vector<schema::LogPlanApply> commands_;
};

}  // namespace

std::vector<schema::LogPlanApply> plan_commands(const schema::Plan& plan, const schema::PlanResult& result, int64_t unix_ns, Bytes most) {
  CommandList commands(plan, unix_ns, most);
  if (result.has_deployment()) *commands.room_for(result.deployment().ByteSizeLong()).mutable_deployment() = result.deployment();
  for (const schema::DeploymentStatusUpdate& update : result.deployment_updates()) *commands.room_for(update.ByteSizeLong()).add_deployment_updates() = update;
  for (const schema::AllocationList* list : by_node(result.node_update())) {
    for (schema::Allocation alloc : list->items()) {
      alloc.clear_job();
      *commands.room_for(alloc.ByteSizeLong()).add_allocs_stopped() = std::move(alloc);
    }
  }
  for (const schema::AllocationList* list : by_node(result.node_preemptions())) {
    for (const schema::Allocation& alloc : list->items()) {
      schema::Allocation* out = commands.room_for(256).add_allocs_preempted();
      out->set_id(alloc.id());
      out->set_preempted_by_allocation(alloc.preempted_by_allocation());
      out->set_desired_description(alloc.desired_description());
    }
  }
  for (const schema::AllocationList* list : by_node(result.node_allocation())) {
    for (schema::Allocation alloc : list->items()) {
      if (alloc.has_job() && plan.has_job() && alloc.job().version() == plan.job().version()) alloc.clear_job();
      *commands.room_for(alloc.ByteSizeLong()).add_allocs_updated() = std::move(alloc);
    }
  }
  return commands.take();
}

bool PlanApplier::may_go(const Turn& turn, const std::set<std::string>& nodes) const {
  if (waiting_.empty() || *waiting_.begin() < turn) return false;
  return std::ranges::none_of(nodes, [&](const std::string& node) { return busy_nodes_.contains(node); });
}

void PlanApplier::leave(const std::set<std::string>& nodes) {
  for (const std::string& node : nodes) {
    const auto at = busy_nodes_.find(node);
    if (--at->second == 0) busy_nodes_.erase(at);
  }
  changed_.pulse();
}

io::Task<Reply> PlanApplier::submit(const schema::Plan& plan, io::Deadline deadline) {
  const auto id = EvalId::parse(plan.eval_id());
  const auto token = Uuid::parse(plan.eval_token());
  if (!id.ok() || !token.ok()) co_return Failure(Error(Code::kInvalid, "plan without evaluation or token"));
  if (!core_.leader) co_return endpoint::no_cluster_leader();
  if (waiting_.size() >= core_.settings.max_plans) {
    core_.metrics.count(Metric::kPlanRefused);
    co_return endpoint::too_many("too many plans wait");
  }
  if (Result<> held = core_.broker.pause_nack(*id, *token); !held.ok()) {
    core_.metrics.count(Metric::kPlanRefused);
    co_return std::move(held).error();
  }
  const Turn turn{plan.priority(), next_ticket_++};
  waiting_.insert(turn);
  Reply reply = co_await apply(plan, turn, std::move(deadline));
  waiting_.erase(turn);
  changed_.pulse();
  // Fails only when leadership went meanwhile, and all deliveries with it.
  static_cast<void>(core_.broker.resume_nack(*id, *token, core_.loop.now()));
  co_return reply;
}

io::Task<Reply> PlanApplier::apply(const schema::Plan& plan, Turn turn, io::Deadline deadline) {
  const std::set<std::string> nodes = touched_nodes(plan);
  const MonoTime began = core_.loop.now();
  while (!may_go(turn, nodes)) STEPPE_CO_TRY_VOID(co_await changed_.wait(deadline));
  if (!core_.leader) co_return endpoint::no_cluster_leader();
  const MonoTime checking = core_.loop.now();
  core_.metrics.sample(Metric::kPlanWait, checking - began);
  auto result = std::make_unique<schema::PlanResult>();
  std::vector<schema::LogPlanApply> commands;
  {
    const state::Snapshot snapshot = core_.store.snapshot();
    *result = scheduler::evaluate_plan(snapshot, plan);
    commands = plan_commands(plan, *result, core_.loop.wall().unix_ns, kMaxPlanCommand);
    add_preemption_evals(core_, snapshot, *result, &commands.back());
  }
  core_.metrics.sample(Metric::kPlanEvaluate, core_.loop.now() - checking);
  if (result->rejected_nodes_size() > 0) {
    core_.metrics.count(Metric::kPlanNodeRejected, static_cast<uint64_t>(result->rejected_nodes_size()));
    core_.log.debug("plan cut: part of it does not fit any more", {{"eval", plan.eval_id()}, {"nodes", result->rejected_nodes_size()}});
  }
  const bool nothing = result->node_update().empty() && result->node_allocation().empty() && result->node_preemptions().empty() &&
                       !result->has_deployment() && result->deployment_updates().empty();
  if (nothing) co_return result;
  // From here on the next plan may be checked, unless it wants one of these nodes.
  waiting_.erase(turn);
  for (const std::string& node : nodes) ++busy_nodes_[node];
  changed_.pulse();
  const MonoTime proposing = core_.loop.now();
  Outcome<state::Outcome> done;
  for (const schema::LogPlanApply& command : commands) {
    done = co_await core_.commands.propose(schema::LOG_PLAN_APPLY, command);
    if (!done.ok()) break;
  }
  leave(nodes);
  if (!done.ok()) co_return std::move(done).error();
  core_.metrics.sample(Metric::kPlanApply, core_.loop.now() - proposing);
  result->set_alloc_index(done->index);
  if (result->refresh_index() != 0) result->set_refresh_index(std::max(result->refresh_index(), done->index));
  co_return result;
}

}  // namespace steppe::server
