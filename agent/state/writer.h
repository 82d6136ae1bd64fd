#pragma once

#include <cstdint>
#include <queue>
#include <string>
#include <string_view>
#include <vector>

#include "agent/state/root.h"
#include "agent/state/store.h"
#include "agent/state/watch.h"

namespace steppe::state {

// The ordinals of one table: the lowest free one is given first, so that they stay dense. Not part of the state: a peer
// that restored a snapshot numbers its rows anew.
class Ordinals {
 public:
  uint32_t take() {
    if (free_.empty()) return next_++;
    uint32_t ordinal = free_.top();
    free_.pop();
    return ordinal;
  }
  void give(uint32_t ordinal) { free_.push(ordinal); }

 private:
  std::priority_queue<uint32_t, std::vector<uint32_t>, std::greater<>> free_;
  uint32_t next_ = 0;
};

// The version that is being written: rows go in and out here, and indexes, digests, columns, table indexes, change
// records and watch keys follow. It knows no rule of the tables; those are in entry.h.
class Writer {
 public:
  enum class Start : uint8_t { kEmpty, kBuiltInPools };
  explicit Writer(Start start);
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;
  ~Writer();

  Root& root() { return root_; }
  const Root& root() const { return root_; }
  Reclaimer& reclaimer() { return reclaimer_; }

  // Begins an entry. Watch keys are collected only when somebody waits.
  void begin(uint64_t index, bool collect_keys);
  uint64_t index() const { return index_; }
  std::vector<Change> take_changes() { return std::move(changes_); }
  std::vector<WatchKey> take_keys() { return std::move(keys_); }

  // put_*: the row (new, unshared, its digest computed here where it can change) replaces the one of the same key.
  // erase_*: requires that the row exists.
  void put_node(NodeRow* row);
  void erase_node(const NodeRow& row);
  // The node's mark of its last alloc update: neither a change nor a new table index (clients would wake each other).
  void mark_alloc_update(const NodeId& id, uint64_t index);

  enum JobParts : uint8_t { kRow = 1, kVersions = 2, kSummary = 4, kSubmission = 8 };
  // `parts` says which tables the change shows in; 0: only the derived counts changed.
  void put_job(JobRow* row, uint8_t parts);
  void erase_job(const JobRow& row);

  void put_eval(EvalRow* row);
  void erase_eval(const EvalRow& row);
  void put_alloc(AllocRow* row);
  void erase_alloc(const AllocRow& row);
  void put_deployment(DeploymentRow* row);
  void erase_deployment(const DeploymentRow& row);
  void put_pool(PlainRow* row);
  void erase_pool(const PlainRow& row);
  void put_config(PlainRow* row);
  void set_cluster_version(uint32_t version);

 private:
  void touch(Table table, Change::Kind kind, const Uuid& id, std::string key);
  void wake(WatchKey key) {
    if (collect_keys_) keys_.push_back(std::move(key));
  }
  void wake_job(Table table, const JobSpec& spec);
  void wake_alloc(const AllocRow& row);
  uint64_t& digest(Table table) { return root_.digests[static_cast<size_t>(table)]; }

  void set_facts(const NodeRow& row, const schema::Node& node);
  void count_usage(const AllocRow& row, int sign);
  void count_all_usage(const NodeRow& row);
  void index_alloc(const AllocRow& row, uint32_t ordinal);
  void unindex_alloc(const AllocRow& row, uint32_t ordinal);

  Root root_;
  Reclaimer reclaimer_;
  Ordinals node_ordinals_, job_ordinals_, eval_ordinals_, alloc_ordinals_, deployment_ordinals_, pool_ordinals_;
  uint64_t index_ = 0;
  bool collect_keys_ = false;
  std::vector<Change> changes_;
  std::vector<WatchKey> keys_;
};

}  // namespace steppe::state
