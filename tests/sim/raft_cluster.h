#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "agent/raft/node.h"
#include "init/base/rng.h"
#include "tests/sim/raft_mutants.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_loop.h"

namespace steppe::sim {

// A state machine that remembers which writes it saw, in which order. A write is 8 bytes of id, then
// filler.
class LedgerMachine final : public raft::StateMachine {
 public:
  using Observer = std::function<void(const raft::Entry&)>;
  explicit LedgerMachine(Observer observer) : observer_(std::move(observer)) {}
  void apply(std::span<const raft::Entry> committed) override;
  std::unique_ptr<raft::SnapshotSource> capture() override;
  io::Task<Result<>> restore(raft::SnapshotSource& image) override;

  const std::set<uint64_t>& seen() const { return seen_; }
  uint32_t hash() const { return hash_; }
  raft::Index last() const { return last_; }
  const std::string& violation() const { return violation_; }

 private:
  Observer observer_;
  std::set<uint64_t> seen_;
  uint32_t hash_ = 0;
  raft::Index last_ = 0;
  std::string violation_;
};

struct ClusterOptions {
  uint64_t seed = 1;
  size_t members = 3;
  size_t founders = 0;  // how many of them found the group (0: all); the others are added and removed while it runs
  Mutant mutant = Mutant::kNone;
  Duration length = std::chrono::seconds(12);
  int clients = 3;
  bool trace = false;  // the members' logs and the faults to standard error
};

struct ClusterReport {
  std::string violation;  // empty: all invariants held
  uint32_t trace = 0;     // equal for equal options
  uint64_t acknowledged = 0;
  uint64_t crashes = 0;
  uint64_t refused_starts = 0;  // of the member whose log was damaged on purpose
  uint64_t snapshots = 0;
  uint64_t installs = 0;
  uint64_t elections = 0;
  uint64_t reads = 0;
  uint64_t disk_full = 0;
  uint64_t member_changes = 0;
};

// A few members with their disks and a network, clients that write and read, and a nemesis: power cuts
// at any disk operation, partitions, loss, duplication, reordering, full disks, I/O errors, a flipped
// bit in an old segment. Checks while it runs and at the end: one history; no acknowledged write lost,
// none applied twice; one leader a term; reads see what was acknowledged before them; all members end
// with equal hashes.
ClusterReport run_cluster(const ClusterOptions& options);

}  // namespace steppe::sim
