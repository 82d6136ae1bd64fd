#pragma once

#include <optional>
#include <set>

#include "agent/server/core.h"
#include "agent/server/drain_rules.h"

namespace steppe::server {

// Empties draining nodes, as fast as drain_rules.h allows, and ends their drain. Leader only.
class Drainer {
 public:
  explicit Drainer(Core& core) : core_(core), changed_(core.loop) {}

  // A node, or an alloc of a job that has allocs on a draining node, changed.
  void note_node(const state::Snapshot& snapshot, const NodeId& id);
  void note_alloc() {
    if (draining_.empty()) return;
    pending_ = true;
    changed_.pulse();
  }
  void restore(const state::Snapshot& snapshot);
  io::Task<void> run(std::stop_token stop);

 private:
  io::Task<endpoint::Outcome<>> step();
  io::Task<endpoint::Outcome<>> finish(NodeId node);

  Core& core_;
  io::Event changed_;
  bool pending_ = false;
  std::set<NodeId> draining_;
  std::optional<WallTime> deadline_;
};

}  // namespace steppe::server
