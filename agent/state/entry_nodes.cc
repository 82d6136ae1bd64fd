#include <format>

#include "agent/schema/node.pb.h"
#include "agent/schema/plan.pb.h"
#include "agent/state/built_in_pools.h"
#include "agent/state/entry.h"

namespace steppe::state {
namespace {

constexpr int kMaxNodeEvents = 10;
constexpr int64_t kSecond = 1'000'000'000;
constexpr std::string_view kEligible = "eligible";
constexpr std::string_view kIneligible = "ineligible";

schema::NodeEvent cluster_event(std::string_view message, int64_t seconds) {
  schema::NodeEvent event;
  event.set_subsystem("Cluster");
  event.set_message(std::string(message));
  event.set_timestamp(seconds * kSecond);
  return event;
}

bool unresponsive(NodeStatus status) { return status == NodeStatus::kDown || status == NodeStatus::kDisconnected; }

}  // namespace

NodeRow* make_node_row(const schema::Node& node) {
  auto* row = new NodeRow();
  row->id = NodeId(*Uuid::parse(node.id()));
  row->name = node.name();
  row->node_class = node.node_class();
  row->status = *parse_node_status(node.status());
  row->eligible = node.scheduling_eligibility() != kIneligible;
  row->draining = node.has_drain_strategy();
  row->status_updated_at = node.status_updated_at();
  row->create_index = node.create_index();
  row->modify_index = node.modify_index();
  row->last_missed_heartbeat_index = node.last_missed_heartbeat_index();
  row->last_alloc_update_index = node.last_alloc_update_index();
  PortRange ports = dynamic_ports(node);
  row->port_low = ports.low;
  row->port_high = ports.high;
  row->bytes = encode(node);
  return row;
}

Result<const NodeRow*> Entry::find_node(std::string_view id) const {
  Result<Uuid> uuid = Uuid::parse(id);
  const NodeRow* row = uuid.ok() ? root().nodes.find(*uuid) : nullptr;
  if (row == nullptr) return Error(Code::kNotFound, "node not found");
  return row;
}

void Entry::append_event(schema::Node& node, schema::NodeEvent event) const {
  event.set_create_index(index_);
  *node.add_events() = std::move(event);
  int over = node.events_size() - kMaxNodeEvents;
  if (over > 0) node.mutable_events()->DeleteSubrange(0, over);
}

void Entry::put_node(schema::Node node) {
  node.set_modify_index(index_);
  node.clear_drain();  // computed where the node is shown
  ensure_pool(node.node_pool());
  writer_.put_node(make_node_row(node));
}

void Entry::ensure_pool(const std::string& name) {
  if (root().node_pools.keys.contains(name)) return;
  schema::NodePool pool;
  pool.set_name(name);
  pool.set_create_index(index_);
  pool.set_modify_index(index_);
  auto* row = new PlainRow();
  row->name = name;
  row->bytes = encode(pool);
  writer_.put_pool(row);
}

Result<> Entry::run(const schema::LogNodeRegister& command) {
  schema::Node node = command.node();
  Result<Uuid> id = Uuid::parse(node.id());
  if (!id.ok()) return std::move(id).error().wrap("node ID");
  node.set_id(id->text());
  if (node.status().empty()) node.set_status(std::string(text(NodeStatus::kInitializing)));
  STEPPE_TRY(NodeStatus status, parse_node_status(node.status()));
  if (node.node_pool().empty()) node.set_node_pool(std::string(kPoolDefault));
  if (node.node_pool() == kPoolAll) return Error(Code::kInvalid, "node pool \"all\" may not be registered into");
  const NodeRow* old = root().nodes.find(*id);
  node.clear_events();
  node.clear_last_drain();
  if (old == nullptr) {
    if (node.scheduling_eligibility().empty()) node.set_scheduling_eligibility(std::string(kEligible));
    if (node.has_drain_strategy()) node.set_scheduling_eligibility(std::string(kIneligible));
    node.set_create_index(index_);
    node.set_last_missed_heartbeat_index(0);
    node.set_last_alloc_update_index(0);
    append_event(node,
                 command.has_event() ? command.event() : cluster_event("Node registered", node.status_updated_at()));
    put_node(std::move(node));
    return {};
  }
  auto former = decode<schema::Node>(old->bytes);
  if (!former.secret_id().empty() && former.secret_id() != node.secret_id()) {
    return Error(Code::kDenied, "node secret ID does not match. Not registering node.");
  }
  // Events, drain, eligibility and heartbeat marks are the servers': a client that registers again keeps them.
  *node.mutable_events() = former.events();
  node.set_create_index(old->create_index);
  node.set_scheduling_eligibility(former.scheduling_eligibility());
  node.clear_drain_strategy();
  if (former.has_drain_strategy()) *node.mutable_drain_strategy() = former.drain_strategy();
  if (former.has_last_drain()) *node.mutable_last_drain() = former.last_drain();
  node.set_last_alloc_update_index(old->last_alloc_update_index);
  bool missed = !unresponsive(old->status) && unresponsive(status);
  node.set_last_missed_heartbeat_index(missed ? index_ : old->last_missed_heartbeat_index);
  if (old->status == NodeStatus::kDown && status != NodeStatus::kDown) {
    append_event(node, cluster_event("Node reregistered", node.status_updated_at()));
  }
  if (command.has_event()) append_event(node, command.event());
  put_node(std::move(node));
  return {};
}

Result<> Entry::run(const schema::LogNodeDeregister& command) {
  for (const std::string& id : command.node_ids()) {
    STEPPE_TRY_VOID(find_node(id).wrap(std::format("deregister {}", id)));
  }
  for (const std::string& id : command.node_ids()) {
    // The same id may stand in the list twice.
    if (Result<const NodeRow*> node = find_node(id); node.ok()) delete_node(**node);
  }
  return {};
}

Result<> Entry::run(const schema::LogNodeStatus& command) {
  STEPPE_TRY(const NodeRow* row, find_node(command.node_id()));
  STEPPE_TRY(NodeStatus status, parse_node_status(command.status()));
  auto node = decode<schema::Node>(row->bytes);
  node.set_last_alloc_update_index(row->last_alloc_update_index);
  node.set_status_updated_at(command.updated_at());
  if (command.has_event()) append_event(node, command.event());
  if (!unresponsive(row->status) && unresponsive(status)) node.set_last_missed_heartbeat_index(index_);
  node.set_status(std::string(text(status)));
  put_node(std::move(node));
  return {};
}

Result<> Entry::run(const schema::LogNodeDrain& command) {
  STEPPE_TRY(const NodeRow* row, find_node(command.node_id()));
  auto node = decode<schema::Node>(row->bytes);
  node.set_last_alloc_update_index(row->last_alloc_update_index);
  bool was_draining = node.has_drain_strategy();
  int64_t at = command.updated_at() * kSecond;
  node.set_status_updated_at(command.updated_at());
  if (command.has_event()) append_event(node, command.event());
  if (command.has_drain_strategy()) {
    *node.mutable_drain_strategy() = command.drain_strategy();
    node.set_scheduling_eligibility(std::string(kIneligible));
  } else {
    node.clear_drain_strategy();
    if (command.mark_eligible()) node.set_scheduling_eligibility(std::string(kEligible));
  }
  if (command.has_drain_strategy() || was_draining) {
    schema::DrainMetadata& last = *node.mutable_last_drain();
    // A drain that is changed under way is the same drain; its start stays.
    if (!was_draining) {
      last.Clear();
      last.set_started_at(at);
    }
    last.set_updated_at(at);
    last.set_status(command.has_drain_strategy() ? "draining" : command.drain_completed() ? "complete" : "canceled");
    if (!command.accessor_id().empty()) last.set_accessor_id(command.accessor_id());
    if (command.meta_size() > 0) *last.mutable_meta() = command.meta();
  }
  put_node(std::move(node));
  return {};
}

Result<> Entry::run(const schema::LogNodeEligibility& command) {
  STEPPE_TRY(const NodeRow* row, find_node(command.node_id()));
  if (command.eligibility() != kEligible && command.eligibility() != kIneligible) {
    return Error(Code::kInvalid, std::format("invalid scheduling eligibility \"{}\"", command.eligibility()));
  }
  if (row->draining && command.eligibility() == kEligible) {
    return Error(Code::kInvalid, "can not set node's scheduling eligibility to eligible while it is draining");
  }
  auto node = decode<schema::Node>(row->bytes);
  node.set_last_alloc_update_index(row->last_alloc_update_index);
  node.set_status_updated_at(command.updated_at());
  if (command.has_event()) append_event(node, command.event());
  node.set_scheduling_eligibility(command.eligibility());
  put_node(std::move(node));
  return {};
}

Result<> Entry::run(const schema::LogNodeEvents& command) {
  std::map<std::string, const schema::NodeEventList*> sorted;
  for (const auto& [id, list] : command.events()) {
    STEPPE_TRY_VOID(find_node(id).wrap(std::format("events of {}", id)));
    sorted.emplace(id, &list);
  }
  for (const auto& [id, list] : sorted) {
    const NodeRow* row = *find_node(id);
    auto node = decode<schema::Node>(row->bytes);
    node.set_last_alloc_update_index(row->last_alloc_update_index);
    for (const schema::NodeEvent& event : list->items()) append_event(node, event);
    put_node(std::move(node));
  }
  return {};
}

// ---- pools, configuration, cluster ----

Result<> Entry::run(const schema::LogNodePoolUpsert& command) {
  for (const schema::NodePool& pool : command.pools()) {
    if (pool.name().empty()) return Error(Code::kInvalid, "node pool: the name is missing");
    if (built_in_pool(pool.name())) {
      return Error(Code::kInvalid, std::format("modifying node pool \"{}\" is not allowed", pool.name()));
    }
  }
  for (schema::NodePool pool : command.pools()) {
    const PlainRow* old = root().node_pools.find(pool.name());
    pool.set_create_index(old != nullptr ? decode<schema::NodePool>(old->bytes).create_index() : index_);
    pool.set_modify_index(index_);
    auto* row = new PlainRow();
    row->name = pool.name();
    row->bytes = encode(pool);
    writer_.put_pool(row);
  }
  return {};
}

Result<> Entry::run(const schema::LogNodePoolDelete& command) {
  for (const std::string& name : command.names()) {
    if (built_in_pool(name))
      return Error(Code::kInvalid, std::format("deleting node pool \"{}\" is not allowed", name));
    if (!root().node_pools.keys.contains(name)) return Error(Code::kNotFound, "node pool not found");
    if (root().pools.ids().contains(name)) {
      return Error(Code::kInvalid, std::format("node pool \"{}\" has nodes in it; move or stop them first", name));
    }
  }
  for (const std::string& name : command.names()) {
    if (const PlainRow* row = root().node_pools.find(name); row != nullptr) writer_.erase_pool(*row);
  }
  return {};
}

Result<> Entry::run(const schema::LogSchedulerConfig& command) {
  auto* old = static_cast<const PlainRow*>(root().config.get(0));
  schema::SchedulerConfiguration stored;
  if (old != nullptr) stored = decode<schema::SchedulerConfiguration>(old->bytes);
  if (command.cas() && command.cas_index() != stored.modify_index()) return {};
  schema::SchedulerConfiguration config = command.config();
  config.set_create_index(old != nullptr ? stored.create_index() : index_);
  config.set_modify_index(index_);
  auto* row = new PlainRow();
  row->name = "scheduler";
  row->bytes = encode(config);
  writer_.put_config(row);
  outcome_.updated = true;
  return {};
}

Result<> Entry::run(const schema::LogClusterVersion& command) {
  if (command.version() < root().cluster_version) {
    return Error(Code::kInvalid, std::format("the cluster has version {}; it cannot go back to {}",
                                             root().cluster_version, command.version()));
  }
  if (command.version() > root().cluster_version) writer_.set_cluster_version(command.version());
  return {};
}

}  // namespace steppe::state
