#include "agent/server/blocked_evals.h"

#include <algorithm>

namespace steppe::server {
namespace {

uint64_t newest_index(const BlockedEval& eval) { return std::max(eval.create_index, eval.snapshot_index); }

}  // namespace

BlockedEvals::Verdict BlockedEvals::block(const BlockedEval& eval) {
  if (evals_.contains(eval.id)) return Verdict::kBlocked;
  if (const auto other = by_job_.find(key(eval)); other != by_job_.end()) {
    const EvalId other_id = other->second;
    if (newest_index(evals_.at(other_id)) > newest_index(eval)) {
      duplicates_.push_back(eval.id);
      return Verdict::kDuplicate;
    }
    drop(other_id);
    duplicates_.push_back(other_id);
  }
  if (missed_unblock(eval)) return Verdict::kUnblock;
  if (evals_.size() >= capacity_) return Verdict::kFull;
  evals_.emplace(eval.id, eval);
  by_job_[key(eval)] = eval.id;
  if (eval.node) by_node_[*eval.node].insert(eval.id);
  return Verdict::kBlocked;
}

// Capacity that came between the scheduler's snapshot and now must not be slept through.
bool BlockedEvals::missed_unblock(const BlockedEval& eval) const {
  if (eval.node) {
    const auto at = node_index_.find(*eval.node);
    return at != node_index_.end() && at->second > eval.snapshot_index;
  }
  return std::ranges::any_of(class_index_, [&](const auto& changed) {
    return changed.second > eval.snapshot_index && admits(eval, changed.first);
  });
}

// A class that was judged infeasible stays so: its nodes are alike. One that was not judged may do.
bool BlockedEvals::admits(const BlockedEval& eval, std::string_view computed_class) {
  if (eval.escaped) return true;
  const auto judged = eval.eligibility.find(std::string(computed_class));
  return judged == eval.eligibility.end() || judged->second;
}

std::vector<EvalId> BlockedEvals::unblock(std::string_view computed_class, uint64_t index) {
  class_index_[std::string(computed_class)] = index;
  std::vector<EvalId> ready;
  for (const auto& [id, eval] : evals_) {
    if (!eval.node && admits(eval, computed_class)) ready.push_back(id);
  }
  for (const EvalId& id : ready) drop(id);
  return ready;
}

std::vector<EvalId> BlockedEvals::unblock_node(const NodeId& node, uint64_t index) {
  node_index_[node] = index;
  const auto at = by_node_.find(node);
  if (at == by_node_.end()) return {};
  std::vector<EvalId> ready(at->second.begin(), at->second.end());
  for (const EvalId& id : ready) drop(id);
  return ready;
}

std::vector<EvalId> BlockedEvals::unblock_failed() {
  std::vector<EvalId> ready;
  for (const auto& [id, eval] : evals_) {
    if (eval.failed) ready.push_back(id);
  }
  for (const EvalId& id : ready) drop(id);
  return ready;
}

void BlockedEvals::untrack(std::string_view job) {
  std::vector<EvalId> gone;
  for (auto at = by_job_.lower_bound({std::string(job), NodeId()}); at != by_job_.end() && at->first.first == job; ++at) {
    gone.push_back(at->second);
  }
  for (const EvalId& id : gone) drop(id);
}

void BlockedEvals::drop(const EvalId& id) {
  const auto at = evals_.find(id);
  if (at == evals_.end()) return;
  by_job_.erase(key(at->second));
  if (at->second.node) {
    const auto on_node = by_node_.find(*at->second.node);
    on_node->second.erase(id);
    if (on_node->second.empty()) by_node_.erase(on_node);
  }
  evals_.erase(at);
}

std::vector<EvalId> BlockedEvals::take_duplicates(size_t most) {
  const auto count = static_cast<ptrdiff_t>(std::min(most, duplicates_.size()));
  std::vector<EvalId> taken(duplicates_.begin(), duplicates_.begin() + count);
  duplicates_.erase(duplicates_.begin(), duplicates_.begin() + count);
  return taken;
}

void BlockedEvals::prune(uint64_t index) {
  std::erase_if(class_index_, [&](const auto& entry) { return entry.second <= index; });
  std::erase_if(node_index_, [&](const auto& entry) { return entry.second <= index; });
}

void BlockedEvals::clear() {
  evals_.clear();
  by_job_.clear();
  by_node_.clear();
  class_index_.clear();
  node_index_.clear();
  duplicates_.clear();
}

size_t BlockedEvals::escaped() const {
  return static_cast<size_t>(std::ranges::count_if(evals_, [](const auto& entry) { return entry.second.escaped; }));
}

}  // namespace steppe::server
