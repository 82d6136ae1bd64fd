#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "agent/scheduler/device_ledger.h"
#include "agent/scheduler/node_traits.h"
#include "agent/scheduler/port_ledger.h"

namespace steppe::scheduler {

// The whole cores of one node.
class CoreLedger {
 public:
  explicit CoreLedger(const schema::Node& node);
  void hold(const schema::AllocatedResources& resources);
  void hold_core(uint64_t id) { held_.insert(id); }
  // The lowest free ids; nullopt when fewer are free.
  std::optional<std::vector<uint64_t>> pick(int64_t count) const;
  int64_t mhz(const std::vector<uint64_t>& cores) const;
  // The mean speed of the reservable cores: what a score reckons with.
  double mean_mhz() const;

 private:
  std::map<uint64_t, int64_t> speed_;  // reservable id -> MHz
  std::set<uint64_t> held_;
};

// What cannot be read off a column: who holds which port, device and core of a node.
struct NodeLedger {
  PortLedger ports;
  DeviceLedger devices;
  CoreLedger cores;
  int64_t allocs = 0;  // live and placed
};

// The snapshot with the plan so far on top.
class Proposed {
 public:
  explicit Proposed(Cluster& cluster) : cluster_(cluster) {}

  // The plan stops (or evicts) an alloc of the snapshot: what it holds is free for this plan.
  void stop(const state::AllocView& alloc);
  // Takes that back: the placement that needed it failed.
  void undo_stop(const state::AllocView& alloc);
  bool stopped(const AllocId& id) const { return stopped_.contains(id); }

  // The plan places an alloc. `alloc` must outlive this.
  void place(uint32_t ordinal, const schema::Allocation& alloc, const Cluster::Room& takes);

  Cluster::Room used(uint32_t ordinal) const;

  // Allocs of the snapshot on the node that still hold something and are not stopped by the plan.
  std::vector<state::AllocView> live(uint32_t ordinal) const;
  const std::vector<const schema::Allocation*>& placed(uint32_t ordinal) const;

  // Built on first use and after a stop.
  NodeLedger& ledger(uint32_t ordinal);

  Cluster& cluster() { return cluster_; }

 private:
  struct Delta {
    int64_t cpu = 0, memory = 0, disk = 0;
    std::vector<const schema::Allocation*> placed;
    std::unique_ptr<NodeLedger> ledger;
  };
  void shift(uint32_t ordinal, const state::Usage& usage, int64_t sign);
  std::unique_ptr<NodeLedger> build(uint32_t ordinal);

  Cluster& cluster_;
  std::unordered_map<uint32_t, Delta> deltas_;
  std::set<AllocId> stopped_;
};

}  // namespace steppe::scheduler
