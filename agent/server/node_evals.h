#pragma once

#include <string>
#include <vector>

#include "agent/server/core.h"

namespace steppe::server {

// Whether a change of a node's status concerns the jobs on it: it became able to run, or stopped to be.
bool node_change_matters(state::NodeStatus before, state::NodeStatus after);

// An evaluation (trigger node-update) for each job with a live alloc on the node, and for every system job.
std::vector<schema::Evaluation> node_evals(Core& core, const state::Snapshot& snapshot, const NodeId& node, uint64_t node_index);

struct StoredEvals {
  std::vector<std::string> ids;
  uint64_t index = 0;
};
// Makes them for the state as it is now, and stores them.
io::Task<endpoint::Outcome<StoredEvals>> store_node_evals(Core& core, NodeId node, uint64_t node_index);

// What a node that went silent becomes: disconnected when an alloc on it allows for that, else down.
state::NodeStatus status_after_silence(const state::Snapshot& snapshot, const state::NodeView& node, WallTime now);

}  // namespace steppe::server
