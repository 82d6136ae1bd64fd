#include "agent/server/node_endpoint.h"

#include <format>

#include "agent/model/node_class.h"
#include "agent/schema/log.pb.h"
#include "agent/schema/node.pb.h"
#include "agent/schema/plan.pb.h"
#include "agent/schema/rpc.pb.h"
#include "agent/server/node_evals.h"
#include "agent/server/query.h"
#include "agent/server/update_batcher.h"
#include "init/base/secret.h"

namespace steppe::server {

using endpoint::Method;
using endpoint::Outcome;
using endpoint::rpc_error;
using state::NodeStatus;

namespace {

schema::NodeEvent cluster_event(const Core& core, std::string message) {
  schema::NodeEvent event;
  event.set_message(std::move(message));
  event.set_subsystem("Cluster");
  event.set_timestamp(core.loop.wall().unix_ns);
  return event;
}

Outcome<> check_registration(const schema::Node& node) {
  const std::pair<const std::string&, std::string_view> needed[] = {
      {node.id(), "node ID"}, {node.datacenter(), "datacenter"}, {node.name(), "node name"}, {node.secret_id(), "node secret ID"}};
  for (const auto& [value, name] : needed) {
    if (value.empty()) return rpc_error(std::format("missing {} for client registration", name));
  }
  if (!NodeId::parse(node.id()).ok()) return rpc_error(std::format("invalid node ID \"{}\": a UUID is needed", node.id()));
  if (!state::parse_node_status(node.status()).ok()) return rpc_error("invalid status for node");
  if (node.node_pool() == "all") return rpc_error("invalid node pool: node is not allowed to register in node pool \"all\"");
  return {};
}

}  // namespace

Outcome<state::NodeView> node_of_request(const state::Snapshot& snapshot, std::string_view node_id, const std::string& secret) {
  STEPPE_TRY(const Uuid id, parse_id("node", node_id));
  const auto node = snapshot.node(NodeId(id));
  if (!node) return rpc_error("node not found");
  if (!equal_in_constant_time(node->decode().secret_id(), secret)) return endpoint::Failure(500, Code::kDenied, "node secret ID does not match");
  return *node;
}

// Pools come into being with the first node that names them: this region is its own authority.
io::Task<Outcome<>> NodeEndpoint::make_pool(const std::string& pool) {
  if (pool == "default" || core_.store.snapshot().node_pool(pool)) co_return Outcome<>();
  schema::LogNodePoolUpsert command;
  command.add_pools()->set_name(pool);
  STEPPE_CO_TRY_VOID(co_await core_.commands.request(schema::LOG_NODE_POOL_UPSERT, command));
  co_return Outcome<>();
}

io::Task<Outcome<>> NodeEndpoint::register_node(const schema::NodeRegisterRequest& request, const Call&, schema::NodeUpdateReply& reply) {
  if (!request.has_node()) co_return rpc_error("missing node for client registration");
  schema::LogNodeRegister command;
  schema::Node& node = *command.mutable_node();
  node = request.node();
  if (node.status().empty()) node.set_status("initializing");
  if (node.node_pool().empty()) node.set_node_pool("default");
  if (node.scheduling_eligibility().empty()) node.set_scheduling_eligibility("eligible");
  STEPPE_CO_TRY_VOID(check_registration(node));
  STEPPE_CO_TRY_VOID(co_await make_pool(node.node_pool()));
  const NodeId id = *NodeId::parse(node.id());
  const NodeStatus status = *state::parse_node_status(node.status());
  NodeStatus before = NodeStatus::kInitializing;
  {
    const state::Snapshot snapshot = core_.store.snapshot();
    const auto existing = snapshot.node(id);
    if (existing) {
      before = existing->status();
      if (!equal_in_constant_time(existing->decode().secret_id(), node.secret_id())) {
        co_return endpoint::Failure(500, Code::kDenied, "node secret ID does not match. Not registering node.");
      }
    }
    if (!existing) *command.mutable_event() = cluster_event(core_, "Node registered");
    if (existing && before == NodeStatus::kDown && status != NodeStatus::kDown) *command.mutable_event() = cluster_event(core_, "Node re-registered");
  }
  node.set_computed_class(model::computed_class(node));
  node.set_status_updated_at(core_.loop.wall().unix_ns / 1'000'000'000);
  command.set_unix_ns(core_.loop.wall().unix_ns);
  STEPPE_CO_TRY(const state::Outcome done, co_await core_.commands.request(schema::LOG_NODE_REGISTER, command));
  co_return co_await answer_update(id, node_change_matters(before, status), done.index, reply);
}

// What a node hears after it registered or sent its status: evaluations made for it, its TTL, the servers.
io::Task<Outcome<>> NodeEndpoint::answer_update(NodeId node, bool matters, uint64_t index, schema::NodeUpdateReply& reply) {
  if (matters) {
    STEPPE_CO_TRY(const StoredEvals evals, co_await store_node_evals(core_, node, index));
    for (const std::string& id : evals.ids) reply.add_eval_ids(id);
    reply.set_eval_create_index(evals.index);
  }
  const state::Snapshot snapshot = core_.store.snapshot();
  const auto view = snapshot.node(node);
  if (!view) co_return rpc_error("node not found");
  reply.set_node_modify_index(view->modify_index());
  reply.set_num_nodes(static_cast<int64_t>(snapshot.node_count()));
  reply.set_leader_rpc_addr(core_.leader_address);
  schema::NodeServerInfo* server = reply.add_servers();
  server->set_rpc_advertise_addr(core_.settings.rpc_address);
  server->set_datacenter(core_.settings.datacenter);
  if (core_.leader && view->status() != NodeStatus::kDown) {
    reply.set_heartbeat_ttl(core_.heartbeats.reset(node, core_.loop.now()).count());
    core_.beats_changed.pulse();
  }
  reply.mutable_meta()->set_index(index);
  co_return Outcome<>();
}

namespace {

// A node that was thought lost comes back through initializing: it is ready only once it has told what became of its allocs.
NodeStatus next_status(const state::Snapshot& snapshot, const state::NodeView& node, NodeStatus wanted) {
  if (wanted != NodeStatus::kReady) return wanted;
  const bool was_lost = node.status() == NodeStatus::kDisconnected || node.status() == NodeStatus::kDown || node.status() == NodeStatus::kInitializing;
  if (!was_lost || node.last_missed_heartbeat_index() == 0) return wanted;
  if (node.last_alloc_update_index() > node.last_missed_heartbeat_index()) return wanted;
  for (const state::AllocView& alloc : snapshot.allocs_by_node(node.id())) {
    if (!alloc.client_terminal()) return NodeStatus::kInitializing;
  }
  return wanted;
}

}  // namespace

io::Task<Outcome<>> NodeEndpoint::update_status(const schema::NodeUpdateStatusRequest& request, const Call&, schema::NodeUpdateReply& reply) {
  if (request.node_id().empty()) co_return rpc_error("missing node ID for client status update");
  const auto wanted = state::parse_node_status(request.status());
  if (!wanted.ok()) co_return rpc_error("invalid status for node");
  schema::LogNodeStatus command;
  NodeId id;
  NodeStatus before = NodeStatus::kInitializing;
  NodeStatus after = *wanted;
  {
    const state::Snapshot snapshot = core_.store.snapshot();
    STEPPE_CO_TRY(const state::NodeView node, node_of_request(snapshot, request.node_id(), request.secret_id()));
    id = node.id();
    before = node.status();
    after = next_status(snapshot, node, *wanted);
    if (request.has_node_event()) *command.mutable_event() = request.node_event();
    if (before == NodeStatus::kDown && after != NodeStatus::kDown && !command.has_event()) *command.mutable_event() = cluster_event(core_, "Node reregistered by heartbeat");
  }
  uint64_t index = core_.commands.applied_index();
  if (before != after || command.has_event()) {
    command.set_node_id(request.node_id());
    command.set_status(std::string(state::text(after)));
    command.set_unix_ns(core_.loop.wall().unix_ns);
    command.set_updated_at(command.unix_ns() / 1'000'000'000);
    STEPPE_CO_TRY(const state::Outcome done, co_await core_.commands.request(schema::LOG_NODE_STATUS, command));
    index = done.index;
  }
  if (after == NodeStatus::kDown) core_.heartbeats.forget(id);
  co_return co_await answer_update(id, node_change_matters(before, after), index, reply);
}

io::Task<Outcome<>> NodeEndpoint::update_alloc(const schema::AllocUpdateRequest& request, const Call&, schema::GenericReply& reply) {
  if (request.node_id().empty()) co_return rpc_error("missing node ID");
  if (request.alloc().empty()) co_return rpc_error("must update at least one allocation");
  {
    const state::Snapshot snapshot = core_.store.snapshot();
    STEPPE_CO_TRY(const state::NodeView node, node_of_request(snapshot, request.node_id(), request.secret_id()));
    if (node.status() == NodeStatus::kDown || node.status() == NodeStatus::kDisconnected) {
      co_return rpc_error(std::format("node {} is not allowed to update allocs while in status {}", request.node_id(), state::text(node.status())));
    }
  }
  STEPPE_CO_TRY(const uint64_t index, co_await updates_.add(request));
  reply.mutable_meta()->set_index(index);
  co_return Outcome<>();
}

io::Task<Outcome<>> NodeEndpoint::deregister(const schema::NodeDeregisterRequest& request, const Call&, schema::NodeUpdateReply& reply) {
  if (request.node_ids().empty()) co_return rpc_error("missing node IDs for client deregistration");
  schema::LogNodeDeregister command;
  schema::LogEvalUpsert evals;
  {
    const state::Snapshot snapshot = core_.store.snapshot();
    for (const std::string& text : request.node_ids()) {
      STEPPE_CO_TRY(const Uuid id, parse_id("node", text));
      const auto node = snapshot.node(NodeId(id));
      if (!node) co_return endpoint::not_found("node");
      command.add_node_ids(text);
      for (schema::Evaluation& eval : node_evals(core_, snapshot, NodeId(id), node->modify_index())) *evals.add_evals() = std::move(eval);
    }
  }
  command.set_unix_ns(core_.loop.wall().unix_ns);
  STEPPE_CO_TRY(state::Outcome done, co_await core_.commands.request(schema::LOG_NODE_DEREGISTER, command));
  reply.set_node_modify_index(done.index);
  if (!evals.evals().empty()) {
    evals.set_unix_ns(command.unix_ns());
    for (const schema::Evaluation& eval : evals.evals()) reply.add_eval_ids(eval.id());
    STEPPE_CO_TRY(done, co_await core_.commands.request(schema::LOG_EVAL_UPSERT, evals));
    reply.set_eval_create_index(done.index);
  }
  reply.mutable_meta()->set_index(done.index);
  co_return Outcome<>();
}

io::Task<Outcome<>> NodeEndpoint::evaluate(const schema::NodeEvaluateRequest& request, const Call&, schema::NodeUpdateReply& reply) {
  STEPPE_CO_TRY(const Uuid id, parse_id("node", request.node_id()));
  uint64_t node_index = 0;
  {
    const state::Snapshot snapshot = core_.store.snapshot();
    const auto node = snapshot.node(NodeId(id));
    if (!node) co_return rpc_error("node not found");
    node_index = node->modify_index();
  }
  STEPPE_CO_TRY(const StoredEvals evals, co_await store_node_evals(core_, NodeId(id), node_index));
  for (const std::string& eval : evals.ids) reply.add_eval_ids(eval);
  reply.set_eval_create_index(evals.index);
  reply.set_node_modify_index(node_index);
  reply.mutable_meta()->set_index(evals.index);
  co_return Outcome<>();
}

io::Task<Outcome<>> NodeEndpoint::drain(const schema::NodeUpdateDrainRequest& request, const Call&, schema::NodeDrainReply& reply) {
  STEPPE_CO_TRY(const Uuid id, parse_id("node", request.node_id()));
  schema::LogNodeDrain command;
  const int64_t now = core_.loop.wall().unix_ns;
  bool eligible_again = false;
  {
    const state::Snapshot snapshot = core_.store.snapshot();
    const auto node = snapshot.node(NodeId(id));
    if (!node) co_return rpc_error("node not found");
    const schema::Node old = node->decode();
    if (request.has_drain_spec()) {
      schema::DrainStrategy* strategy = command.mutable_drain_strategy();
      strategy->set_deadline(request.drain_spec().deadline());
      strategy->set_ignore_system_jobs(request.drain_spec().ignore_system_jobs());
      strategy->set_started_at(old.has_drain_strategy() ? old.drain_strategy().started_at() : now);
      if (strategy->deadline() > 0) strategy->set_force_deadline(now + strategy->deadline());
      *command.mutable_event() = cluster_event(core_, old.has_drain_strategy() ? "Node drain strategy updated" : "Node drain strategy set");
    } else {
      *command.mutable_event() = cluster_event(core_, "Node drain canceled");
      eligible_again = request.mark_eligible() && !node->eligible();
    }
    command.mutable_event()->set_subsystem("Drain");
  }
  command.set_node_id(request.node_id());
  command.set_mark_eligible(request.mark_eligible());
  *command.mutable_meta() = request.meta();
  command.set_unix_ns(now);
  command.set_updated_at(now / 1'000'000'000);
  STEPPE_CO_TRY(const state::Outcome done, co_await core_.commands.request(schema::LOG_NODE_DRAIN, command));
  reply.set_node_modify_index(done.index);
  reply.mutable_meta()->set_index(done.index);
  if (eligible_again) {
    STEPPE_CO_TRY(const StoredEvals evals, co_await store_node_evals(core_, NodeId(id), done.index));
    for (const std::string& eval : evals.ids) reply.add_eval_ids(eval);
    reply.set_eval_create_index(evals.index);
  }
  co_return Outcome<>();
}

io::Task<Outcome<>> NodeEndpoint::eligibility(const schema::NodeUpdateEligibilityRequest& request, const Call&, schema::NodeUpdateReply& reply) {
  STEPPE_CO_TRY(const Uuid id, parse_id("node", request.node_id()));
  const bool eligible = request.eligibility() == "eligible";
  if (!eligible && request.eligibility() != "ineligible") co_return rpc_error(std::format("invalid scheduling eligibility \"{}\"", request.eligibility()));
  bool was_eligible = false;
  uint64_t index = 0;
  {
    const state::Snapshot snapshot = core_.store.snapshot();
    const auto node = snapshot.node(NodeId(id));
    if (!node) co_return rpc_error("node not found");
    if (eligible && node->draining()) co_return rpc_error("can not set node's scheduling eligibility to eligible while it is draining");
    was_eligible = node->eligible();
    index = node->modify_index();
  }
  if (was_eligible != eligible) {
    schema::LogNodeEligibility command;
    command.set_node_id(request.node_id());
    command.set_eligibility(request.eligibility());
    *command.mutable_event() = cluster_event(core_, eligible ? "Node marked as eligible for scheduling" : "Node marked as ineligible for scheduling");
    command.set_unix_ns(core_.loop.wall().unix_ns);
    command.set_updated_at(command.unix_ns() / 1'000'000'000);
    STEPPE_CO_TRY(const state::Outcome done, co_await core_.commands.request(schema::LOG_NODE_ELIGIBILITY, command));
    index = done.index;
    if (eligible) {
      STEPPE_CO_TRY(const StoredEvals evals, co_await store_node_evals(core_, NodeId(id), index));
      for (const std::string& eval : evals.ids) reply.add_eval_ids(eval);
      reply.set_eval_create_index(evals.index);
    }
  }
  reply.set_node_modify_index(index);
  reply.mutable_meta()->set_index(index);
  co_return Outcome<>();
}

void NodeEndpoint::add_methods(endpoint::Dispatcher& dispatcher) {
  const auto add = [&]<Method M>(auto member) {
    dispatcher.add<M>(core_.loop, [this, member](const auto& request, const Call& call, auto& reply) { return (this->*member)(request, call, reply); });
  };
  add.operator()<Method::kNodeRegister>(&NodeEndpoint::register_node);
  add.operator()<Method::kNodeUpdateStatus>(&NodeEndpoint::update_status);
  add.operator()<Method::kNodeUpdateAlloc>(&NodeEndpoint::update_alloc);
  add.operator()<Method::kNodeGetClientAllocs>(&NodeEndpoint::client_allocs);
  add.operator()<Method::kNodeDeregister>(&NodeEndpoint::deregister);
  add.operator()<Method::kNodeEvaluate>(&NodeEndpoint::evaluate);
  add.operator()<Method::kNodeUpdateDrain>(&NodeEndpoint::drain);
  add.operator()<Method::kNodeUpdateEligibility>(&NodeEndpoint::eligibility);
  add.operator()<Method::kNodeGetNode>(&NodeEndpoint::get_node);
  add.operator()<Method::kNodeList>(&NodeEndpoint::list);
  add.operator()<Method::kNodeGetAllocs>(&NodeEndpoint::allocs);
}

}  // namespace steppe::server
