#pragma once

#include <map>
#include <optional>
#include <set>
#include <vector>

#include "init/base/clock.h"
#include "init/base/ids.h"
#include "init/base/rng.h"

namespace steppe::server {

// When each live node must be heard of again. Pure.
class HeartbeatTable {
 public:
  struct Settings {
    Duration min_ttl = std::chrono::seconds(10);
    Duration grace = std::chrono::seconds(10);
    double max_per_second = 50;  // heartbeats that the leader wants to receive in all
    Duration after_election = std::chrono::seconds(300);
  };

  HeartbeatTable(const Settings& settings, Rng& rng) : settings_(settings), rng_(rng) {}

  // The node was heard of: gives the TTL that it is told, max(min_ttl, nodes / max_per_second) plus as much again at random,
  // and expects it within that and the grace.
  Duration reset(const NodeId& node, MonoTime now);
  // This server just became leader: the node may have been heard of by the one before.
  void give_time(const NodeId& node, MonoTime now);
  void forget(const NodeId& node);
  void clear();

  // Nodes whose time is over; they are forgotten.
  std::vector<NodeId> expire(MonoTime now);
  std::optional<MonoTime> next_deadline() const;
  bool knows(const NodeId& node) const { return due_.contains(node); }
  size_t size() const { return due_.size(); }

 private:
  void set(const NodeId& node, MonoTime at);

  Settings settings_;
  Rng& rng_;
  std::map<NodeId, MonoTime> due_;
  std::set<std::pair<int64_t, NodeId>> order_;
};

}  // namespace steppe::server
