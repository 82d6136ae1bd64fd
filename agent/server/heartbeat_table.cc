#include "agent/server/heartbeat_table.h"

#include <algorithm>

namespace steppe::server {

void HeartbeatTable::set(const NodeId& node, MonoTime at) {
  forget(node);
  due_.emplace(node, at);
  order_.insert({at.ns, node});
}

Duration HeartbeatTable::reset(const NodeId& node, MonoTime now) {
  const size_t nodes = due_.size() + (due_.contains(node) ? 0 : 1);
  const auto scaled = Duration(static_cast<int64_t>(static_cast<double>(nodes) / settings_.max_per_second * 1e9));
  const Duration base = std::max(settings_.min_ttl, scaled);
  const Duration ttl = base + Duration(static_cast<int64_t>(rng_.below(static_cast<uint64_t>(base.count()))));
  set(node, now + ttl + settings_.grace);
  return ttl;
}

void HeartbeatTable::give_time(const NodeId& node, MonoTime now) { set(node, now + settings_.after_election); }

void HeartbeatTable::forget(const NodeId& node) {
  const auto at = due_.find(node);
  if (at == due_.end()) return;
  order_.erase({at->second.ns, node});
  due_.erase(at);
}

void HeartbeatTable::clear() {
  due_.clear();
  order_.clear();
}

std::vector<NodeId> HeartbeatTable::expire(MonoTime now) {
  std::vector<NodeId> missed;
  while (!order_.empty() && order_.begin()->first <= now.ns) {
    missed.push_back(order_.begin()->second);
    forget(missed.back());
  }
  return missed;
}

std::optional<MonoTime> HeartbeatTable::next_deadline() const {
  if (order_.empty()) return std::nullopt;
  return MonoTime{order_.begin()->first};
}

}  // namespace steppe::server
