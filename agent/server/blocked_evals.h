#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "init/base/ids.h"

namespace steppe::server {

// What decides when a blocked evaluation may try again.
struct BlockedEval {
  EvalId id;
  std::string job;                          // state::job_key
  std::optional<NodeId> node;               // a system job's: blocked on this node only
  std::map<std::string, bool> eligibility;  // computed class -> whether it was feasible; others were not looked at
  bool escaped = false;                     // a constraint went beyond the class: any node may do
  bool failed = false;                      // max-plan-attempts: tried again every minute
  uint64_t create_index = 0;
  uint64_t snapshot_index = 0;              // of the state that it was blocked on
};

// Evaluations that found no room and wait for capacity: one a job (one a job and node for system jobs), the newest. Pure.
class BlockedEvals {
 public:
  explicit BlockedEvals(size_t capacity = 1'000'000) : capacity_(capacity) {}

  enum class Verdict : uint8_t {
    kBlocked,    // waits
    kUnblock,    // capacity changed after its snapshot: enqueue it at once
    kDuplicate,  // a newer one of the job waits already: cancel it
    kFull,       // at capacity: enqueue it at once rather than lose it
  };
  // An older one of the same job becomes a duplicate (take_duplicates).
  Verdict block(const BlockedEval& eval);

  // Capacity of a computed class came or grew, at a state index. Gives the evaluations to enqueue, by id.
  std::vector<EvalId> unblock(std::string_view computed_class, uint64_t index);
  // The same for what system jobs wait for on one node.
  std::vector<EvalId> unblock_node(const NodeId& node, uint64_t index);
  // Those that failed by too many plan attempts: the leader calls each minute.
  std::vector<EvalId> unblock_failed();
  // The job needs nothing any more: it was placed in full, stopped or purged.
  void untrack(std::string_view job);
  // This one was ended by somebody else.
  void forget(const EvalId& id) { drop(id); }

  std::vector<EvalId> take_duplicates(size_t most);
  // Forgets capacity changes up to `index`: no evaluation of an older snapshot is on its way any more.
  void prune(uint64_t index);
  void clear();

  size_t size() const { return evals_.size(); }
  size_t escaped() const;

 private:
  using Key = std::pair<std::string, NodeId>;  // a nil node: not a system job's
  static Key key(const BlockedEval& eval) { return {eval.job, eval.node.value_or(NodeId())}; }
  bool missed_unblock(const BlockedEval& eval) const;
  void drop(const EvalId& id);
  static bool admits(const BlockedEval& eval, std::string_view computed_class);

  size_t capacity_;
  std::map<EvalId, BlockedEval> evals_;
  std::map<Key, EvalId> by_job_;
  std::map<NodeId, std::set<EvalId>> by_node_;
  std::map<std::string, uint64_t, std::less<>> class_index_;  // last capacity change of a class
  std::map<NodeId, uint64_t> node_index_;
  std::vector<EvalId> duplicates_;
};

}  // namespace steppe::server
