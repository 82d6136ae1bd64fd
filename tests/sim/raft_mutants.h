#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string_view>

#include "agent/raft/log.h"
#include "tests/sim/sim_disk.h"

namespace steppe::sim {

// Planted bugs: each is a way to lose or invent writes that the simulator must find. They live between
// the node and its log or in the simulated disk, never in the product.
enum class Mutant : uint8_t {
  kNone,
  kNoSync,                        // the log's fdatasync does nothing
  kAckEarly,                      // a write is answered before it is durable
  kTruncateNotSynced,             // a batch that replaces a suffix is not synced
  kHardStateNotPersisted,         // term, vote and commit are never written
  kVoteNotPersisted,              // the term is written, the vote is not
  kStaleSegmentReuse,             // a recycled file's old records pass
  kWrongChecksumScope,            // payloads are not covered
  kSnapshotRenamedBeforeSync,     // a snapshot gets its name before its bytes are durable
  kCompactedBeforeSnapshotDurable,  // the log goes before the snapshot's name is durable
  kAppliedBeforeCommit,           // entries are applied when they are written
};
inline constexpr Mutant kAllMutants[] = {
    Mutant::kNoSync, Mutant::kAckEarly, Mutant::kTruncateNotSynced, Mutant::kHardStateNotPersisted, Mutant::kVoteNotPersisted,
    Mutant::kStaleSegmentReuse, Mutant::kWrongChecksumScope, Mutant::kSnapshotRenamedBeforeSync,
    Mutant::kCompactedBeforeSnapshotDurable, Mutant::kAppliedBeforeCommit};
std::string_view mutant_name(Mutant mutant);

raft::SealFn mutant_seal(Mutant mutant);
DiskLies mutant_lies(Mutant mutant, std::shared_ptr<bool> lie_now);

struct MutantHooks {
  Mutant mutant = Mutant::kNone;
  std::shared_ptr<bool> lie_now;  // shared with the disk's lies
  std::function<void(std::span<const raft::Entry>)> apply;
  io::Loop* loop = nullptr;
};
// The log as the mutant sees it.
std::unique_ptr<raft::LogStore> wrap_log(MutantHooks hooks, std::unique_ptr<raft::LogStore> log);

}  // namespace steppe::sim
