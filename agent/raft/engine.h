#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/raft/types.h"
#include "init/base/bytes.h"
#include "init/base/result.h"

struct SteppeRaftCore;

namespace steppe::raft {

// Time is counted in ticks, whose length the shell chooses.
struct EngineSettings {
  PeerId id = 0;
  uint64_t election_ticks = 10;  // > heartbeat_ticks
  uint64_t heartbeat_ticks = 1;
  Bytes max_message = Bytes::mib(1);       // entries per append message; one entry always fits
  uint64_t max_inflight_messages = 128;    // per follower
  Bytes max_uncommitted = Bytes::mib(64);  // proposals beyond it are refused; one always fits
  Bytes max_apply = Bytes::mib(4);         // committed entries per Ready; one always fits
  bool check_quorum = true;                // a leader that hears no quorum steps down
  bool pre_vote = true;                    // thesis 9.6: ask before raising the term
};

struct OutgoingMessage {
  PeerId to = 0;
  uint8_t type = 0;          // MessageType (message.h)
  Index snapshot_index = 0;  // not 0: the peer needs this snapshot's content before these bytes
  std::string bytes;
};

// What must happen now. In this order: install `snapshot`, write `entries` (replacing any suffix from
// the first one's index) and `hard`; make them durable when must_sync; then Engine::persisted(), then
// send `messages_after_persist`, then apply `committed`. `messages` need not wait (thesis 10.2.1).
struct Ready {
  uint64_t number = 0;
  bool must_sync = false;
  bool has_soft = false;
  PeerId leader = 0;  // 0: unknown
  Role role = Role::kFollower;
  bool has_hard = false;
  HardState hard;
  bool has_snapshot = false;
  SnapshotPoint snapshot;
  std::vector<Entry> entries;
  std::vector<Entry> committed;
  std::vector<OutgoingMessage> messages;
  std::vector<OutgoingMessage> messages_after_persist;
  struct Read {
    Index index = 0;
    std::string context;
  };
  std::vector<Read> reads;
};

struct EngineStatus {
  PeerId id = 0;
  Term term = 0;
  PeerId vote = 0;
  Index commit = 0;
  Index applied = 0;
  Index persisted = 0;
  Index first_index = 0;
  Index last_index = 0;
  Term last_term = 0;
  PeerId leader = 0;
  PeerId transferee = 0;
  uint64_t election_timeout = 0;
  uint64_t uncommitted_bytes = 0;
  Role role = Role::kFollower;
  bool committed_in_term = false;  // a leader that may answer reads
  bool voter = false;
  bool snapshot_wanted = false;  // a follower needs a newer snapshot than the last snapshot_taken()
};

struct PeerProgress {
  enum class State : uint8_t { kProbe = 0, kReplicate = 1, kSnapshot = 2 };
  PeerId peer = 0;
  Index match = 0;
  Index next = 0;
  Index pending_snapshot = 0;
  uint64_t inflight = 0;
  State state = State::kProbe;
  bool paused = false;
  bool recently_active = false;
  bool learner = false;
  bool inflight_full = false;
};

// One member of a Raft group as a pure state machine: events in, Ready out. No clock, no chance, no
// disk, no network, no threads: two engines fed the same calls are in the same state. It keeps the
// log's tail since the last compaction in memory. One thread at a time.
//
// The consensus algorithm is tikv/raft-rs 0.7.0 behind engine/; what its release lacks is guarded
// there. Errors: kUnavailable = not now (no leader, transfer or change pending, the uncommitted tail is
// full); kInvalid = the argument; kCorrupt = a peer contradicts what is committed here.
class Engine {
 public:
  // kInvalid when `saved` is not a log that an engine could have left behind.
  static Result<std::unique_ptr<Engine>> create(const EngineSettings& settings, const Saved& saved);
  ~Engine();
  Engine(const Engine&) = delete;

  void tick();
  // How many ticks without a leader start an election: in [election_ticks, 2 * election_ticks). To be
  // drawn anew from the shell's Rng whenever status() shows another term or role; holds until then.
  Result<> set_election_timeout(uint64_t ticks);
  Result<> campaign();
  Result<> step(ByteView message);
  // The index the entry will have if it commits in this term. Leaders only; nothing is forwarded.
  Result<Index> propose(ByteView data);
  Result<Index> propose_conf_change(const ConfChange& change);
  // For every committed entry of a conf change type, in order. The answer belongs into snapshots.
  Result<ConfState> apply_conf_entry(const Entry& entry);
  // The same for a change that is not in the log: bootstrapping, tests.
  Result<ConfState> apply_conf_change(const ConfChange& change);
  Result<> transfer_leader(PeerId to);
  // Ready::reads has `context` with an index once a quorum confirmed that we lead: state applied up to
  // that index is fresh.
  Result<> read_index(ByteView context);
  void report_unreachable(PeerId peer);
  void report_snapshot(PeerId peer, bool ok);

  // One Ready is open at a time: has_ready() is false until persisted() closed it.
  bool has_ready() const;
  Ready ready();
  void persisted(uint64_t number);
  // Entries up to `index` were applied: not below the previous call's, not above what was handed out.
  void applied(Index index);
  // A durable snapshot of ours stands at `index` <= applied; followers may be sent it.
  Result<> snapshot_taken(Index index, const ConfState& conf);
  // Forgets the log up to `index`, which a snapshot covers.
  Result<> compact(Index index);

  EngineStatus status() const;
  ConfState conf_state() const;
  std::vector<PeerProgress> progress() const;  // sorted by peer; of meaning on a leader

 private:
  explicit Engine(SteppeRaftCore* core) : core_(core) {}
  SteppeRaftCore* core_;
};

// The change inside a committed entry of a conf change type.
Result<ConfChange> decode_conf_change(const Entry& entry);

}  // namespace steppe::raft
