#pragma once

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "agent/scheduler/group_table.h"
#include "agent/scheduler/plan_builder.h"
#include "agent/scheduler/reconcile.h"
#include "agent/scheduler/scheduler.h"

// What one evaluation works with, whatever its type. Only the schedulers of this folder include this.
namespace steppe::scheduler {

class EvalRun {
 public:
  EvalRun(const schema::Evaluation& eval, const schema::Job* job, const state::Snapshot& snapshot, TraitCache& traits,
          model::ConstraintChecker& checker, const Options& options);

  const schema::Evaluation& eval;
  const schema::Job* job;  // null: purged
  const state::Snapshot& snapshot;
  model::ConstraintChecker& checker;
  const Options& options;
  uint64_t seed;
  SeededRng rng;
  Cluster cluster;
  Proposed proposed;
  Outcome out;
  PlanBuilder plan;
  PlacementRules rules;

  // The job's allocs of the snapshot, decoded without their jobs; each job version decoded once.
  AllocSet load_allocs();
  // The alloc of that id; null: not of this job.
  const JobAlloc* member(const std::string& alloc_id) const;
  const state::AllocView& view_of(const schema::Allocation& alloc) const { return views_.at(&alloc); }
  std::map<std::string, NodeFate> tainted_nodes(const AllocSet& allocs) const;

  // Told to stop, but its node went down before the client could answer: it is lost.
  void mark_stopped_lost(const AllocSet& allocs, const std::map<std::string, NodeFate>& tainted);

  // Stops in the plan and frees what it holds.
  void stop(const StopAsk& ask);

  // The table of a group of `of`, made on first use.
  GroupTable& table(const schema::Job& of, const schema::TaskGroup& group);
  // Tells every table that the node changed.
  void touch(uint32_t ordinal, std::string_view group, int64_t members);

  // The alloc in the plan, and its room taken. `base` has what the caller knows: name, previous, deployment.
  schema::Allocation& place(schema::Allocation base, const schema::TaskGroup& group, Chosen chosen);

  // May this evaluation evict, and up to which priority.
  std::optional<int64_t> preempt_below() const;

  void fail_group(const std::string& group, const schema::AllocMetric& metric);
  bool failed(const std::string& group) const { return out.eval.failed_tg_allocs().contains(group); }
  void coalesce(const std::string& group);

  // Closes the evaluation: status, class eligibility, blocked evaluation.
  void finish();
  void annotate(const std::map<std::string, schema::DesiredUpdates>& desired);

 private:
  void fill_eligibility(schema::Evaluation& target) const;
  PlacementRules rules_of(const schema::Job* job) const;

  std::deque<schema::Allocation> allocs_;
  std::deque<schema::Job> jobs_;
  std::unordered_map<const schema::Allocation*, state::AllocView> views_;
  std::deque<GroupAsk> asks_;
  struct TableKey {
    const schema::Job* job;
    std::string group;
    bool operator==(const TableKey&) const = default;
  };
  std::vector<std::pair<TableKey, std::unique_ptr<GroupTable>>> tables_;
  AllocSet members_;
  std::unordered_map<std::string, size_t> member_of_;
  bool members_loaded_ = false;
};

// service and batch.
void run_generic(EvalRun& run);
// system and sysbatch.
void run_system(EvalRun& run);

}  // namespace steppe::scheduler
