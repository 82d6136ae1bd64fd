#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace steppe::raft {

// A member of the group, never 0. The number is given out once and not used again for another disk:
// a member whose disk was lost rejoins under a new one.
using PeerId = uint64_t;
using Index = uint64_t;  // position in the log, from 1
using Term = uint64_t;

enum class Role : uint8_t { kFollower = 0, kCandidate = 1, kLeader = 2, kPreCandidate = 3 };

// As on disk and on the wire.
enum class EntryType : uint8_t { kNormal = 0, kConfChange = 1, kConfChangeV2 = 2 };

struct Entry {
  Index index = 0;
  Term term = 0;
  EntryType type = EntryType::kNormal;
  std::string data;
  friend bool operator==(const Entry&, const Entry&) = default;
};

// What a member must remember before it answers anybody (Ongaro and Ousterhout 2014, figure 2).
// `commit` may lag behind after a crash; term and vote may not.
struct HardState {
  Term term = 0;
  PeerId vote = 0;
  Index commit = 0;
  friend bool operator==(const HardState&, const HardState&) = default;
};

// Who votes. `outgoing` is not empty only while a joint change is under way. Sorted.
struct ConfState {
  std::vector<PeerId> voters;
  std::vector<PeerId> learners;
  std::vector<PeerId> voters_outgoing;
  std::vector<PeerId> learners_next;
  bool auto_leave = false;
  friend bool operator==(const ConfState&, const ConfState&) = default;
};

// The last entry that a snapshot stands for. Index 0: none.
struct SnapshotPoint {
  Index index = 0;
  Term term = 0;
  ConfState conf;
  friend bool operator==(const SnapshotPoint&, const SnapshotPoint&) = default;
};

// All that a member knows when it starts: entries are contiguous from snapshot.index + 1.
struct Saved {
  HardState hard;
  SnapshotPoint snapshot;
  std::vector<Entry> entries;
  // False: `snapshot` is only the point at which the group was founded (kFoundingIndex); there is no
  // content to send to anybody.
  bool snapshot_exists = true;
};

// A group is founded as if by a snapshot of nothing at this point: the founding members stand in no log
// entry, so whoever is added later must begin with a snapshot, which names them.
inline constexpr Index kFoundingIndex = 1;
inline constexpr Term kFoundingTerm = 1;

// Changes of the member set (raft thesis, chapter 4). One change is applied at once; several, or
// kJointExplicit, go through a joint configuration; an empty list leaves it.
enum class ChangeType : uint8_t { kAddVoter = 0, kRemove = 1, kAddLearner = 2 };
enum class Transition : uint8_t { kAuto = 0, kJointImplicit = 1, kJointExplicit = 2 };
struct ConfChange {
  struct Single {
    ChangeType type = ChangeType::kAddVoter;
    PeerId peer = 0;
  };
  Transition transition = Transition::kAuto;
  std::vector<Single> changes;
  std::string context;  // for whoever applies it: the peer's address, ...
};

}  // namespace steppe::raft
