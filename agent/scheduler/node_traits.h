#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "agent/schema/node.pb.h"
#include "agent/state/snapshot.h"

namespace steppe::scheduler {

// Nodes that every check except one on a unique attribute treats alike share a trait: the computed class, and what the class does not
// hash because it changes by itself: healthy drivers, host volumes, network modes and their aliases. One evaluation
// judges one node per trait.
//
// Finding a trait decodes the node, so the cache outlives evaluations: a node is decoded again only after it changed. A memo of pure
// answers; one store, one thread.
class TraitCache {
 public:
  struct Trait {
    std::string computed_class;
    std::string node_class;
  };

  // Brings the cache up to the snapshot. O(1) when no node changed since the last call.
  void refresh(const state::Snapshot& snapshot);

  uint32_t of(uint32_t ordinal) const { return entries_[ordinal].trait; }
  const Trait& trait(uint32_t id) const { return traits_[id]; }
  size_t size() const { return traits_.size(); }
  uint64_t decoded() const { return decoded_; }  // nodes decoded so far: for tests and benches

 private:
  struct Entry {
    NodeId id;
    uint64_t modify_index = 0;
    uint32_t trait = 0;
  };
  uint32_t intern(const schema::Node& node);

  uint64_t nodes_index_ = 0;
  bool fresh_ = false;
  uint64_t decoded_ = 0;
  std::vector<Entry> entries_;
  std::vector<Trait> traits_;
  std::unordered_map<std::string, uint32_t> ids_;
};

// The nodes of one snapshot during one evaluation: columns by ordinal, and decoded nodes where columns do not suffice.
class Cluster {
 public:
  Cluster(const state::Snapshot& snapshot, TraitCache& traits);

  const state::Snapshot& snapshot() const { return snapshot_; }
  const state::NodeColumns& columns() const { return columns_; }
  const TraitCache& traits() const { return traits_; }
  uint32_t limit() const { return columns_.chunks() * state::kChunkRows; }

  // Capacity net of the reserved part, and use by allocs that are not client-terminal, as of the snapshot.
  struct Room {
    int64_t cpu = 0, memory = 0, disk = 0;
  };
  Room capacity(uint32_t ordinal) const;
  Room used(uint32_t ordinal) const;

  // The whole node; kept until the evaluation ends. Requires that the ordinal exists.
  const schema::Node& node(uint32_t ordinal);

 private:
  const state::Snapshot& snapshot_;
  state::NodeColumns columns_;
  const TraitCache& traits_;
  std::unordered_map<uint32_t, schema::Node> decoded_;
};

}  // namespace steppe::scheduler
