#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "agent/schema/alloc.pb.h"
#include "agent/scheduler/candidate_table.h"
#include "agent/scheduler/feasibility.h"
#include "agent/scheduler/proposed.h"
#include "agent/scheduler/spread_score.h"

namespace steppe::scheduler {

// The value of a node property, remembered by trait where the property is not unique to a node.
class PropertyReader {
 public:
  PropertyReader(Cluster& cluster, std::string target);
  std::optional<std::string> value(uint32_t ordinal);

 private:
  Cluster& cluster_;
  std::string target_;
  bool unique_;
  std::map<uint32_t, std::optional<std::string>> by_trait_;
};

// A live alloc of the job: where it is and of which group.
struct JobMember {
  uint32_t ordinal = 0;
  std::string group;
};

struct PlacementRules {
  Algorithm algorithm = Algorithm::kBinpack;
  bool memory_oversubscription = false;
};

// What was chosen for one alloc.
struct Chosen {
  uint32_t ordinal = 0;
  schema::AllocatedResources resources;
  Cluster::Room takes;
  schema::AllocMetric metrics;
  std::vector<state::AllocView> victims;  // to be preempted
};

// One task group on its feasible nodes: chooses the best node for one alloc after the other.
class GroupTable {
 public:
  GroupTable(Proposed& proposed, model::ConstraintChecker& checker, const GroupAsk& ask, const PlacementRules& rules,
             const std::vector<JobMember>& members, uint64_t seed);

  struct Request {
    std::string_view alloc_name;
    std::set<std::string> penalised;       // node ids
    std::optional<uint32_t> preferred;     // tried first (sticky disk)
    std::optional<int64_t> preempt_below;  // evict allocs of jobs with at most this priority, if nothing else helps
  };
  // The best node, not yet held. nullopt: none; failure() says why.
  std::optional<Chosen> select(const Request& request, Rng& rng);
  // Only on this node, if it is feasible and fits (system jobs, in-place checks).
  std::optional<Chosen> select_on(uint32_t ordinal, const Request& request, Rng& rng);
  // Why the last select() found nothing: every feasible node counted once.
  schema::AllocMetric failure() const;

  // Something changed on the node: usage, ledger. `members`: allocs of the job that came (+) or went (-) there.
  void touch(uint32_t ordinal, int64_t job_members, int64_t group_members);

  const Feasible& feasible() const { return feasible_; }
  const GroupAsk& ask() const { return ask_; }
  bool knows(uint32_t ordinal) const { return positions_.contains(ordinal); }
  const CandidateTable& candidates() const { return table_; }

 private:
  struct Property {
    PropertyReader reader;
    uint64_t limit;
    bool job_wide;
    std::string name;
    std::map<std::string, int64_t> used;
    std::vector<std::optional<std::string>> of_position;
  };
  struct Spreading {
    PropertyReader reader;
    SpreadCounter counter;
  };

  void add_candidates(uint64_t seed);
  void add_spreads();
  void add_members(const std::vector<JobMember>& members);
  void refresh_spreads();
  void refresh_refusal(uint32_t position);
  std::string distinct_refusal(uint32_t position) const;
  uint32_t bucket_of(uint32_t ordinal);
  double cpu_ask_on(uint32_t ordinal);
  Candidate candidate_of(uint32_t ordinal);
  std::optional<double> affinity_on(uint32_t ordinal);

  // Everything that the columns do not know; the refusal in metrics' words, or empty and `out` filled.
  std::string assign(uint32_t ordinal, const Request& request, Rng& rng, NodeLedger* ledger, Chosen& out);
  bool assign_tasks(NodeLedger& ledger, Chosen& out, std::string& refusal);
  std::optional<Chosen> preempt(const Request& request, Rng& rng);
  std::optional<Chosen> preempt_on(uint32_t position, const Request& request, Rng& rng, double& score);
  void describe(uint32_t position, Chosen& out) const;

  Proposed& proposed_;
  model::ConstraintChecker& checker_;
  const GroupAsk& ask_;
  PlacementRules rules_;
  Feasible feasible_;
  CandidateTable table_;
  std::unordered_map<uint32_t, uint32_t> positions_;  // ordinal -> position
  std::map<uint32_t, std::string> ledger_refusals_;   // by position
  std::map<uint32_t, int64_t> job_members_, group_members_;  // by ordinal
  std::vector<Property> properties_;
  std::vector<Spreading> spreads_;
  std::map<std::vector<uint32_t>, uint32_t> bucket_ids_;
  std::vector<std::vector<uint32_t>> buckets_;
  std::map<uint32_t, std::optional<double>> affinity_by_trait_;
  std::map<uint32_t, double> cpu_ask_by_trait_;
  bool affinity_unique_ = false;
  schema::AllocMetric base_metric_;
  schema::AllocatedResources plain_resources_;  // what an alloc gets where no ledger is needed
};

}  // namespace steppe::scheduler
