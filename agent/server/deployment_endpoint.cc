#include "agent/server/deployment_endpoint.h"

#include <algorithm>
#include <format>

#include "agent/model/validate.h"
#include "agent/schema/log.pb.h"
#include "agent/schema/plan.pb.h"
#include "agent/schema/rpc.pb.h"
#include "agent/server/deployment_watcher.h"
#include "agent/server/query.h"
#include "agent/server/stubs.h"

namespace steppe::server {

using endpoint::Method;
using endpoint::Outcome;
using endpoint::rpc_error;
using state::Snapshot;
using state::Table;
using state::WatchKey;
using Keys = std::vector<WatchKey>;

namespace {

struct Target {
  DeploymentId id;
  schema::Deployment deployment;
  schema::Evaluation eval;
};

// The deployment that a write is about, authorised and not over. `what` fills "can't <what> terminal deployment".
Outcome<Target> target(Core& core, const endpoint::Call& call, const std::string& id_text, std::string_view terminal_text) {
  call.absent();
  if (id_text.empty()) return rpc_error("missing deployment ID");
  STEPPE_TRY(const Uuid id, parse_id("deployment", id_text));
  const Snapshot snapshot = core.store.snapshot();
  const auto view = snapshot.deployment(DeploymentId(id));
  if (!view) return endpoint::not_found("deployment");
  STEPPE_TRY_VOID(call.authorise(view->ns()));
  if (!view->active()) return rpc_error(std::string(terminal_text));
  Target found{.id = DeploymentId(id), .deployment = view->decode()};
  const auto job = snapshot.job(view->ns(), view->job_id());
  if (!job) return rpc_error("job not found");
  found.eval = deployment_eval(core, found.deployment, *job);
  return found;
}

void fill(const state::Outcome& done, const std::string& eval_id, schema::DeploymentUpdateReply& reply) {
  reply.set_eval_id(eval_id);
  if (!eval_id.empty()) reply.set_eval_create_index(done.index);
  reply.set_deployment_modify_index(done.index);
  reply.mutable_meta()->set_index(done.index);
}

// A group is promoted only with all its canaries healthy.
Outcome<> check_promotable(const schema::Deployment& deployment, const schema::DeploymentPromoteRequest& request) {
  std::vector<std::string> names;
  for (const auto& [name, group] : deployment.task_groups()) names.push_back(name);
  std::ranges::sort(names);
  std::vector<std::string> errors;
  bool any = false;
  for (const std::string& name : names) {
    const schema::DeploymentState& group = deployment.task_groups().at(name);
    const bool asked = request.all() || std::ranges::find(request.groups(), name) != request.groups().end();
    if (!asked || group.desired_canaries() == 0 || group.promoted()) continue;
    any = true;
    if (group.healthy_allocs() < group.desired_canaries()) {
      errors.push_back(std::format("Task group \"{}\" has {}/{} healthy allocations", name, group.healthy_allocs(), group.desired_canaries()));
    }
  }
  if (!errors.empty()) return rpc_error(model::join_errors(errors));
  if (!any) return rpc_error("no canaries to promote");
  return {};
}

}  // namespace

io::Task<Outcome<>> DeploymentEndpoint::list(const schema::DeploymentListRequest& request, const Call& call, schema::DeploymentListReply& reply) {
  auto look = [&](const Snapshot& snapshot, Keys& keys) -> Outcome<uint64_t> {
    keys = {WatchKey::whole(Table::kDeployments)};
    reply.clear_deployments();
    STEPPE_TRY(const IdPrefix prefix, IdPrefix::parse(request.query().prefix()));
    std::vector<state::DeploymentView> found;
    snapshot.each_deployment({}, state::Order::kForward, [&](const state::DeploymentView& deployment) {
      const bool here = call.space() == "*" || deployment.ns() == call.space();
      if (here && prefix.matches(deployment.id()) && call.allows(deployment.ns())) found.push_back(deployment);
      return true;
    });
    const bool by_id = !prefix.hex.empty();
    STEPPE_TRY(Page page, by_id ? Page::open(request.query()) : Page::open(request.query(), age_key_of_token));
    if (!by_id) std::ranges::stable_sort(found, {}, [](const state::DeploymentView& deployment) { return deployment.create_index(); });
    if (page.reverse()) std::ranges::reverse(found);
    for (const state::DeploymentView& deployment : found) {
      const std::string key = by_id ? deployment.id().text() : age_key(deployment.create_index(), deployment.id());
      const std::string token = by_id ? key : age_token(deployment.create_index(), deployment.id());
      if (page.take(key, token)) *reply.add_deployments() = deployment.decode();
      if (page.done()) break;
    }
    reply.mutable_meta()->set_next_token(page.next_token());
    return snapshot.table_index(Table::kDeployments);
  };
  co_return co_await answer(core_, request.query(), call, reply.mutable_meta(), look);
}

io::Task<Outcome<>> DeploymentEndpoint::get(const schema::DeploymentSpecificRequest& request, const Call& call, schema::SingleDeploymentReply& reply) {
  auto look = [&](const Snapshot& snapshot, Keys& keys) -> Outcome<uint64_t> {
    STEPPE_TRY(const Uuid id, parse_id("deployment", request.deployment_id()));
    keys = {WatchKey::row(Table::kDeployments, id)};
    reply.clear_deployment();
    return look_at_row(snapshot, call, Table::kDeployments, snapshot.deployment(DeploymentId(id)),
                       [&](const state::DeploymentView& deployment) { *reply.mutable_deployment() = deployment.decode(); });
  };
  co_return co_await answer(core_, request.query(), call, reply.mutable_meta(), look);
}

io::Task<Outcome<>> DeploymentEndpoint::allocations(const schema::DeploymentSpecificRequest& request, const Call& call, schema::DeploymentAllocationsReply& reply) {
  auto look = [&](const Snapshot& snapshot, Keys& keys) -> Outcome<uint64_t> {
    STEPPE_TRY(const Uuid id, parse_id("deployment", request.deployment_id()));
    keys = {WatchKey::allocs_of_deployment(id)};
    reply.clear_allocations();
    call.absent();  // each alloc is asked for by itself
    uint64_t index = 0;
    for (const state::AllocView& alloc : snapshot.allocs_by_deployment(DeploymentId(id))) {
      if (!call.allows(alloc.ns())) continue;
      alloc_stub(alloc, {}, reply.add_allocations());
      index = std::max(index, alloc.modify_index());
    }
    return reply.allocations().empty() ? snapshot.table_index(Table::kAllocs) : index;
  };
  co_return co_await answer(core_, request.query(), call, reply.mutable_meta(), look);
}

io::Task<Outcome<>> DeploymentEndpoint::promote(const schema::DeploymentPromoteRequest& request, const Call& call, schema::DeploymentUpdateReply& reply) {
  STEPPE_CO_TRY(Target at, target(core_, call, request.deployment_id(), "can't promote terminal deployment"));
  STEPPE_CO_TRY_VOID(check_promotable(at.deployment, request));
  schema::LogDeploymentPromote command;
  command.set_deployment_id(request.deployment_id());
  command.set_all(request.all());
  *command.mutable_groups() = request.groups();
  *command.mutable_eval() = at.eval;
  command.set_unix_ns(core_.loop.wall().unix_ns);
  STEPPE_CO_TRY(const state::Outcome done, co_await core_.commands.request(schema::LOG_DEPLOYMENT_PROMOTE, command));
  fill(done, at.eval.id(), reply);
  co_return Outcome<>();
}

io::Task<Outcome<>> DeploymentEndpoint::pause(const schema::DeploymentPauseRequest& request, const Call& call, schema::DeploymentUpdateReply& reply) {
  const std::string_view terminal = request.pause() ? "can't pause terminal deployment" : "can't resume terminal deployment";
  STEPPE_CO_TRY(Target at, target(core_, call, request.deployment_id(), terminal));
  schema::LogDeploymentStatus command;
  command.mutable_update()->set_deployment_id(request.deployment_id());
  command.mutable_update()->set_status(request.pause() ? "paused" : "running");
  command.mutable_update()->set_status_description(std::string(request.pause() ? kDeploymentPaused : kDeploymentRunning));
  // Pausing asks for nothing; what was held back goes on when it is over.
  if (!request.pause()) *command.mutable_eval() = at.eval;
  command.set_unix_ns(core_.loop.wall().unix_ns);
  command.mutable_update()->set_updated_at(command.unix_ns());
  STEPPE_CO_TRY(const state::Outcome done, co_await core_.commands.request(schema::LOG_DEPLOYMENT_STATUS, command));
  fill(done, command.eval().id(), reply);
  co_return Outcome<>();
}

io::Task<Outcome<>> DeploymentEndpoint::fail(const schema::DeploymentFailRequest& request, const Call& call, schema::DeploymentUpdateReply& reply) {
  STEPPE_CO_TRY(const Target at, target(core_, call, request.deployment_id(), "can't fail terminal deployment"));
  const bool rollback = std::ranges::any_of(at.deployment.task_groups(), [](const auto& group) { return group.second.auto_revert(); });
  STEPPE_CO_TRY(const FailedDeployment failed, co_await fail_deployment(core_, at.id, kDeploymentFailedByUser, rollback));
  state::Outcome done;
  done.index = failed.index;
  fill(done, failed.eval_id, reply);
  if (failed.reverted_to) reply.set_reverted_job_version(*failed.reverted_to);
  co_return Outcome<>();
}

io::Task<Outcome<>> DeploymentEndpoint::set_health(const schema::DeploymentAllocHealthRequest& request, const Call& call, schema::DeploymentUpdateReply& reply) {
  STEPPE_CO_TRY(Target at, target(core_, call, request.deployment_id(), "can't set health of allocations for a terminal deployment"));
  if (request.healthy_allocation_ids().empty() && request.unhealthy_allocation_ids().empty()) {
    co_return rpc_error("must specify at least one healthy/unhealthy allocation ID");
  }
  schema::LogDeploymentAllocHealth command;
  command.set_deployment_id(request.deployment_id());
  *command.mutable_healthy_allocation_ids() = request.healthy_allocation_ids();
  *command.mutable_unhealthy_allocation_ids() = request.unhealthy_allocation_ids();
  *command.mutable_eval() = at.eval;
  command.set_unix_ns(core_.loop.wall().unix_ns);
  command.set_timestamp(command.unix_ns());
  STEPPE_CO_TRY(const state::Outcome done, co_await core_.commands.request(schema::LOG_DEPLOYMENT_ALLOC_HEALTH, command));
  fill(done, at.eval.id(), reply);
  co_return Outcome<>();
}

void DeploymentEndpoint::add_methods(endpoint::Dispatcher& dispatcher) {
  const auto add = [&]<Method M>(auto member) {
    dispatcher.add<M>(core_.loop, [this, member](const auto& request, const Call& call, auto& reply) { return (this->*member)(request, call, reply); });
  };
  add.operator()<Method::kDeploymentList>(&DeploymentEndpoint::list);
  add.operator()<Method::kDeploymentGetDeployment>(&DeploymentEndpoint::get);
  add.operator()<Method::kDeploymentAllocations>(&DeploymentEndpoint::allocations);
  add.operator()<Method::kDeploymentPromote>(&DeploymentEndpoint::promote);
  add.operator()<Method::kDeploymentPause>(&DeploymentEndpoint::pause);
  add.operator()<Method::kDeploymentFail>(&DeploymentEndpoint::fail);
  add.operator()<Method::kDeploymentSetAllocHealth>(&DeploymentEndpoint::set_health);
}

}  // namespace steppe::server
