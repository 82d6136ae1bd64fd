#pragma once

#include <string>

#include "agent/schema/plan.pb.h"
#include "agent/state/snapshot.h"

namespace steppe::scheduler {

// The leader's second look at a plan, on the newest state: every touched node must exist, be ready (on a node that is down or
// disconnected only updates of allocs that end there), be eligible unless the plan only updates allocs that are there already, and hold
// everything together (model::allocs_fit: CPU, memory, disk, cores, ports, devices).
//
// What fails is left out with the stops and preemptions of its node, and refresh_index is set to `snapshot`'s index; with
// all_at_once one failing node empties the result. A deployment is left out when canaries were,
// unless an alloc that passed belongs to it. Pure; O(allocs on touched nodes).
// alloc_index stays 0: it is the index at which the result is committed.
schema::PlanResult evaluate_plan(const state::Snapshot& snapshot, const schema::Plan& plan);

// Why evaluate_plan() leaves this node's part out: "node is down", "cpu", "reserved port collision http=8080", ... Empty: it does
// not. For the log line that an operator reads.
std::string refusal_of(const state::Snapshot& snapshot, const schema::Plan& plan, const std::string& node_id);

}  // namespace steppe::scheduler
