#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "agent/server/core.h"
#include "init/io/wait.h"

namespace steppe::schema {
class LogPlanApply;
class Plan;
class PlanResult;
}

namespace steppe::server {

// The leader's single file of plans: each is checked again against the newest state and committed as far as it still fits.
//
// Plans are checked per node, so one may be checked and proposed while earlier ones are still being committed, as long as
// it touches none of their nodes; otherwise it waits for them. The log keeps the order. Plans wait by priority, then age.
class PlanApplier {
 public:
  explicit PlanApplier(Core& core) : core_(core), changed_(core.loop) {}

  // Checks and commits `plan` of a delivered evaluation. A PlanResult with refresh_index above 0 was cut: look again from
  // there. kDenied when the evaluation is not held with the plan's token; kExhausted when too many plans wait; kUnavailable
  // when leadership goes. The evaluation's nack timer stands still meanwhile.
  io::Task<endpoint::Outcome<std::unique_ptr<schema::PlanResult>>> submit(const schema::Plan& plan, io::Deadline deadline);

  size_t depth() const { return waiting_.size(); }

 private:
  struct Turn {
    int64_t priority;
    uint64_t ticket;
    friend bool operator<(const Turn& a, const Turn& b) {
      return a.priority != b.priority ? a.priority > b.priority : a.ticket < b.ticket;
    }
  };

  io::Task<endpoint::Outcome<std::unique_ptr<schema::PlanResult>>> apply(const schema::Plan& plan, Turn turn, io::Deadline deadline);
  bool may_go(const Turn& turn, const std::set<std::string>& nodes) const;
  void leave(const std::set<std::string>& nodes);

  Core& core_;
  io::Event changed_;
  uint64_t next_ticket_ = 1;
  std::set<Turn> waiting_;
  std::map<std::string, size_t> busy_nodes_;  // of plans that are being committed
};

// The log commands of what is left of a plan, in the order in which they must be committed: the deployment, stops and
// preemptions before placements. One, unless it is larger than `most`: then each stands for a part, and a crash in between
// leaves a part undone, which the evaluation's next delivery makes up for. Allocs of the plan's own job travel without it;
// preemptions carry only what changes.
std::vector<schema::LogPlanApply> plan_commands(const schema::Plan& plan, const schema::PlanResult& result, int64_t unix_ns, Bytes most);

}  // namespace steppe::server
