#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/schema/plan.pb.h"
#include "agent/state/snapshot.h"
#include "init/base/clock.h"

// Decides what runs where. Pure: everything comes from the arguments; ids and ties are drawn from a seed made of the
// evaluation's id and the snapshot's index, so the same call gives the same plan, byte for byte.
namespace steppe::scheduler {

inline constexpr std::string_view kMaxPlanAttempts = "max-plan-attempts";

struct Options {
  WallTime now;
  schema::SchedulerConfiguration config;  // the cluster's; a node pool's own overrides its algorithm and oversubscription
  // Fill the plan's annotations (`job plan`); also on when the evaluation asks for it.
  bool annotate = false;
};

// What one look at the cluster came to. The caller, in this order:
//   1. stores `followups` (they wait; allocs of the plan name them),
//   2. submits `plan`, unless plan_empty,
//   3. when all of it was committed: stores `blocked` if set, and `eval` - or hands `eval` to the blocked evaluations when
//      `reblock` is set. When it was not: see Attempts.
struct Outcome {
  schema::Plan plan;
  bool plan_empty = true;
  std::vector<schema::Evaluation> followups;
  std::optional<schema::Evaluation> blocked;  // waits for room for what was not placed
  std::vector<schema::Evaluation> blocked_nodes;  // system jobs: one for each node that had no room
  schema::Evaluation eval;                    // with its final status, failed groups and queued counts
  bool reblock = false;  // this was a blocked evaluation and it still cannot place all: `eval` goes on waiting
  uint64_t scored = 0;   // feasible nodes scored, summed over placements: for benches
};

// The attempts that an evaluation has: service and system 5, batch and sysbatch 2 in a row without progress.
class Attempts {
 public:
  explicit Attempts(std::string_view eval_type);

  enum class Next : uint8_t {
    kDone,     // all committed: step 3 of Outcome
    kRetry,    // take a snapshot at or after result.refresh_index and schedule again
    kGiveUp,   // store give_up()
  };
  Next after(const schema::Plan& plan, const schema::PlanResult& result);

  int used() const { return used_; }

 private:
  int limit_;
  int used_ = 0;
};

// Everything in the plan was committed: same nodes, same number of allocs.
bool fully_committed(const schema::Plan& plan, const schema::PlanResult& result);

// The failed evaluation and the blocked one that tries again later (trigger max-plan-attempts).
struct GiveUp {
  schema::Evaluation eval;
  schema::Evaluation blocked;
};
GiveUp give_up(const schema::Evaluation& eval, const Outcome& last, int attempts, const Options& options);

// Runs evaluations of all types. Keeps memos of pure answers (node traits, compiled expressions), so a worker has one for its
// life; the results do not depend on them. One store, one thread.
class Scheduler {
 public:
  Scheduler();
  ~Scheduler();

  // An evaluation whose type or trigger is unknown comes back failed, with a reason. Requires a canonical job in the snapshot.
  Outcome schedule(const schema::Evaluation& eval, const state::Snapshot& snapshot, const Options& options);

  // The same for a job that is not registered (`job plan`): takes `job` in place of the snapshot's.
  Outcome schedule_job(const schema::Evaluation& eval, const schema::Job& job, const state::Snapshot& snapshot,
                       const Options& options);

 private:
  struct Memo;
  std::unique_ptr<Memo> memo_;
};

}  // namespace steppe::scheduler
