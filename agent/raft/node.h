#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/raft/engine.h"
#include "agent/raft/log.h"
#include "agent/raft/snapshot.h"
#include "agent/raft/state_machine.h"
#include "agent/raft/transport.h"
#include "init/base/log.h"
#include "init/base/result.h"
#include "init/base/rng.h"
#include "init/io/disk.h"
#include "init/io/loop.h"
#include "init/io/scope.h"
#include "init/io/wait.h"

namespace steppe::raft {

struct ChunkFrame;

struct NodeSettings {
  PeerId id = 0;
  // The founding members, the same on each of them; ignored once there is a log. A single one (-dev)
  // leads at once. Empty: waits until a leader adds it.
  std::vector<PeerId> boot;
  Duration tick = std::chrono::milliseconds(100);
  uint64_t election_ticks = 10;
  uint64_t heartbeat_ticks = 2;
  Bytes segment = Bytes::mib(8);
  Bytes max_entry = Bytes::mib(4);         // of a proposal: kInvalid beyond it
  size_t max_pending = 4096;               // proposals that wait: kExhausted beyond it
  Bytes max_uncommitted = Bytes::mib(64);
  uint64_t snapshot_entries = 8192;        // applied since the last snapshot
  Bytes snapshot_bytes = Bytes::mib(64);   // of log since the last snapshot
  uint64_t keep_entries = 1024;            // behind a snapshot, for followers that are a little late
  Duration snapshot_chunk_timeout = std::chrono::seconds(2);
  SealFn seal = &position_seal;            // tests plant weaker ones
};

struct Leadership {
  Role role = Role::kFollower;
  PeerId leader = 0;  // 0: unknown
  Term term = 0;
  // We lead, and all that earlier leaders committed is applied here: leader duties may begin.
  bool established = false;
  friend bool operator==(const Leadership&, const Leadership&) = default;
};

struct NodeMetrics {
  EngineStatus engine;
  LogStore::Counters log;
  std::vector<PeerProgress> peers;  // of a leader
  Index applied = 0;
  Index snapshot = 0;
  uint64_t pending = 0;
  uint64_t refused_messages = 0;
  uint64_t snapshots_taken = 0;
  uint64_t snapshots_installed = 0;
};

// A member of a Raft group: the engine, its log, its snapshots and its peers, on one loop.
//
// Order of effects for one Ready (see engine.h): snapshot file, log (one fdatasync), answers to peers,
// apply, answers to proposers. While the disk works, further proposals gather in the engine and share
// the next fdatasync. Nothing is acknowledged before it is durable on a quorum.
//
//   state       events -> next                                         guard
//   new         start() -> running | (error) new                       recovery reads, it never repairs damage
//   running     disk or restore error -> failed                        a failed fsync is never repeated
//   running     no space for a segment -> running, tries each second   proposals pile up to their bound
//   running     stop() -> stopped                                      all waiters end with kUnavailable
//   failed      stop() -> stopped                                      proposals: kUnavailable
class Node {
 public:
  struct Parts {
    io::Loop& loop;
    Rng& rng;
    io::Directory& directory;  // the node's own, nobody else writes there
    Transport& transport;
    StateMachine& machine;
    log::Logger logger;
    // Both may be empty. Called on the loop.
    std::function<void(const Leadership&)> on_leadership;
    std::function<void(const Error&)> on_failure;
    // Tests put faults between node and log.
    std::function<std::unique_ptr<LogStore>(std::unique_ptr<LogStore>)> wrap_log;
  };

  Node(Parts parts, NodeSettings settings);
  ~Node();
  Node(const Node&) = delete;

  // Recovers: snapshot, log, engine; restores the machine. Errors: kCorrupt (nothing was altered; the
  // text says what to do), kUnsupported (written by a newer version), kIo.
  io::Task<Result<>> start();
  // Ends everything and returns when nothing runs any more. Needed once after start().
  io::Task<void> stop();

  // The index of the entry, when it is committed and was handed to the machine. Not empty. Errors:
  // kUnavailable: not the leader (leadership().leader may know who is), or leadership was lost and
  // whether the entry commits is unknown; kExhausted: too much is waiting; kTimeout: unknown, too.
  // With OnFullDisk::kRefuse it is kExhausted as long as the log has no space to grow; a write that met
  // the full disk may still be committed later.
  enum class OnFullDisk : uint8_t { kWait, kRefuse };
  io::Task<Result<Index>> propose(std::string data, io::Deadline deadline = {}, OnFullDisk full = OnFullDisk::kWait);
  // The same for a change of the members; applied one at a time.
  io::Task<Result<Index>> change_members(ConfChange change, io::Deadline deadline = {});
  // Returns when the machine has applied everything that was committed when this was called: what is read
  // from it then is linearizable. Leaders only.
  io::Task<Result<Index>> barrier(io::Deadline deadline = {});
  Result<> transfer_leader(PeerId to);
  // Bytes from the transport. Any content is allowed.
  void receive(PeerId from, std::string bytes);
  void peer_unreachable(PeerId peer);
  // Takes a snapshot now (also done by itself, see NodeSettings) and compacts the log.
  io::Task<Result<>> take_snapshot();

  const Leadership& leadership() const { return leadership_; }
  Index applied() const { return applied_; }
  ConfState members() const;
  NodeMetrics metrics() const;
  bool failed() const { return failed_.has_value(); }

 private:
  struct Pending;
  struct Transfer;
  struct Incoming;
  enum class State : uint8_t { kNew, kRunning, kStopped };

  io::Task<void> run();
  io::Task<void> tick_loop();
  io::Task<Result<>> handle(Ready ready);
  io::Task<Result<>> persist(Ready& ready);
  io::Task<Result<>> write_log(LogBatch batch);
  io::Task<Result<>> install(SnapshotPoint point);
  io::Task<Result<>> restore_newest(const SnapshotPoint& point);
  Result<> apply(std::vector<Entry> committed);
  void send(std::vector<OutgoingMessage> messages);
  io::Task<void> send_snapshot(OutgoingMessage message);
  io::Task<bool> send_chunks(PeerId to, Transfer& transfer, io::File& file, ChunkFrame head);
  io::Task<void> receive_chunks();
  io::Task<Result<>> take_chunk(PeerId from, ChunkFrame frame);
  void receive_message(std::string_view bytes);
  io::Task<Result<Index>> wait_for(Result<Index> index, io::Deadline deadline, OnFullDisk full);
  void starve(const Error& error);
  io::Task<Result<>> save_snapshot(SnapshotPoint point);
  io::Task<void> snapshot_in_background();
  io::Task<void> prepare_segment();
  Result<> check_running() const;
  void resolve_applied();
  void end_waiters(const Error& error);
  void note_state();
  void fail(Error error);
  void kick() { work_.set(); }

  Parts parts_;
  NodeSettings settings_;
  State state_ = State::kNew;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<LogStore> log_;
  io::Scope scope_;
  io::Event work_;
  std::optional<Error> failed_;
  std::optional<Error> starved_;  // why the log cannot grow now
  Leadership leadership_;
  std::optional<std::pair<Term, Role>> drawn_;  // for which the election timeout was drawn
  std::optional<HardState> unwritten_hard_;  // a commit index that needs no sync of its own
  Index applied_ = 0;
  Term applied_term_ = 0;
  Index snapshot_index_ = 0;
  uint64_t bytes_since_snapshot_ = 0;
  bool snapshotting_ = false;
  bool restoring_ = false;
  bool preparing_ = false;
  bool unprepared_ = false;  // the last try failed
  bool mark_due_ = false;
  std::map<Index, Pending*> pending_;
  std::map<uint64_t, Pending*> reads_;
  uint64_t next_read_ = 1;
  std::map<PeerId, Transfer*> transfers_;
  uint64_t next_transfer_ = 1;
  std::unique_ptr<Incoming> incoming_;
  uint64_t refused_messages_ = 0;
  uint64_t snapshots_taken_ = 0;
  uint64_t snapshots_installed_ = 0;
};

}  // namespace steppe::raft
