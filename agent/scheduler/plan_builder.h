#pragma once

#include <string>
#include <string_view>

#include "agent/schema/plan.pb.h"
#include "agent/scheduler/alloc_set.h"
#include "init/base/clock.h"

namespace steppe::scheduler {

// Writes a plan. In the plan, an alloc of node_allocation without a job runs under the plan's job; one that keeps
// another version carries it.
class PlanBuilder {
 public:
  PlanBuilder(schema::Plan& plan, WallTime now) : plan_(plan), now_(now) {}

  // node_update: id, node, job and what changes.
  void stop(const schema::Allocation& alloc, std::string_view description, std::string_view client_status,
            std::string_view followup);
  // Takes the last stop on that node back if it is of this alloc.
  void undo_stop(const schema::Allocation& alloc);
  // node_allocation. The address stays valid as long as the plan.
  schema::Allocation& add(schema::Allocation alloc);
  // node_preemptions: desired status evict.
  void preempt(const schema::Allocation& victim, std::string_view by);

  bool empty() const;

 private:
  schema::Plan& plan_;
  WallTime now_;
};

}  // namespace steppe::scheduler
