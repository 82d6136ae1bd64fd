#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "agent/state/dictionary.h"
#include "agent/state/digest.h"
#include "agent/state/job_key.h"
#include "agent/state/node_columns.h"
#include "agent/state/rows.h"
#include "agent/state/table.h"
#include "agent/state/tree.h"
#include "agent/state/trie.h"

namespace steppe::state {

// An entry of a secondary index: 64 bits of the owner (a UUID's, a job key's digest, a create index) and the ordinal of
// the row. Owners may share their 64 bits: readers compare the row. Three words of 32 bits, so that it packs to 12
// bytes.
struct Posting {
  uint32_t owner_high = 0;
  uint32_t owner_low = 0;
  uint32_t ordinal = 0;
  friend auto operator<=>(const Posting&, const Posting&) = default;

  static Posting of(uint64_t owner, uint32_t ordinal) {
    return {static_cast<uint32_t>(owner >> 32), static_cast<uint32_t>(owner), ordinal};
  }
  uint64_t owner() const { return uint64_t{owner_high} << 32 | owner_low; }
};
using Postings = Tree<Posting>;

inline uint64_t owner_of(const Uuid& id) { return load_le<uint64_t>(id.bytes.data() + 8); }
inline uint64_t owner_of(std::string_view ns, std::string_view job_id) { return Digest(0).add(ns).add(job_id).value(); }

// Rows by ordinal, and ordinals by key.
template <class Row, class Key>
struct Rows {
  Tree<Key, uint32_t> keys;
  Trie rows;

  const Row* at(uint32_t ordinal) const { return static_cast<const Row*>(rows.get(ordinal)); }
  const Row* find(const Key& key) const {
    const uint32_t* ordinal = keys.find(key);
    return ordinal == nullptr ? nullptr : at(*ordinal);
  }
  size_t size() const { return keys.size(); }
};

// One version of everything. The writer's is changed by apply; a snapshot's never again. Copying the struct copies
// handles only: share() and release() keep the counts.
struct Root {
  uint64_t index = 0;
  uint32_t cluster_version = 1;
  std::array<uint64_t, kTables> table_index{};
  std::array<uint64_t, kTables> digests{};  // sum of the rows' digests

  Rows<NodeRow, Uuid> nodes;
  Trie node_facts;  // chunks, see node_columns.h
  Trie node_usage;
  uint32_t node_limit = 0;  // ordinals in use lie below
  Dictionary datacenters, pools, classes;

  Rows<JobRow, std::string> jobs;  // by job_key()
  Postings jobs_by_parent;

  Rows<EvalRow, Uuid> evals;
  Postings evals_by_job;
  Postings evals_by_index;  // owner is the create index

  Rows<AllocRow, Uuid> allocs;
  Postings allocs_by_node, allocs_by_job, allocs_by_eval, allocs_by_deployment;

  Rows<DeploymentRow, Uuid> deployments;
  Postings deployments_by_job;

  Rows<PlainRow, std::string> node_pools;
  Trie config;  // ordinal 0: the scheduler configuration

  // Calls f with every handle that owns references.
  template <class F>
  void each_handle(F f) {
    f(nodes.keys), f(nodes.rows), f(node_facts), f(node_usage);
    for (Dictionary* d : {&datacenters, &pools, &classes}) f(d->ids()), f(d->names());
    f(jobs.keys), f(jobs.rows), f(jobs_by_parent);
    f(evals.keys), f(evals.rows), f(evals_by_job), f(evals_by_index);
    f(allocs.keys), f(allocs.rows);
    f(allocs_by_node), f(allocs_by_job), f(allocs_by_eval), f(allocs_by_deployment);
    f(deployments.keys), f(deployments.rows), f(deployments_by_job);
    f(node_pools.keys), f(node_pools.rows), f(config);
  }
  Root share() {
    Root copy = *this;
    copy.each_handle([](auto& handle) { (void)handle.share(); });
    return copy;
  }
  void release(Reclaimer& reclaimer) {
    each_handle([&](auto& handle) { handle.release(reclaimer); });
  }
};

// The rows of one owner, in the order of their ordinals. `keep` says whether the row is really the owner's.
template <class Row, class Key, class Keep, class Visit>
void each_of_owner(const Postings& postings, const Rows<Row, Key>& rows, uint64_t owner, Keep keep, Visit visit) {
  for (auto c = postings.lower_bound(Posting::of(owner, 0)); c.valid() && c.key().owner() == owner; c.next()) {
    const Row* row = rows.at(c.key().ordinal);
    if (keep(*row)) visit(*row, c.key().ordinal);
  }
}

}  // namespace steppe::state
