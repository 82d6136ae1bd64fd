#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "agent/endpoint/failure.h"
#include "agent/state/store.h"
#include "agent/telemetry/registry.h"
#include "init/base/bytes.h"
#include "init/base/rng.h"
#include "init/io/task.h"
#include "init/io/wait.h"

namespace google::protobuf {
class Message;
}

namespace steppe::server {

// Where commands are made durable and ordered.
class Proposer {
 public:
  virtual ~Proposer() = default;
  // What to do while the log has no space: duties wait for it, callers are told (kExhausted; the entry may yet be committed).
  enum class Patience : uint8_t { kWait, kRefuse };
  // Returns the index once `entry` is committed. kUnavailable: not the leader, or lost it; the entry may yet be committed.
  virtual io::Task<Result<uint64_t>> propose(std::string entry, Patience patience) = 0;
};

// One log entry: format 1, little endian: u32 format, u32 log type, u64 proposal id, then the encoded command.
inline constexpr uint32_t kEntryFormat = 1;
inline constexpr size_t kEntryHeader = 16;
// What a log entry may hold; the log itself takes a little more.
inline constexpr Bytes kMaxCommand = {Bytes::mib(4).count - Bytes::kib(8).count};

// The way between commands and the state machine: encodes and proposes on one side, decodes and applies on the other, and
// hands an entry's outcome to the coroutine that proposed it. Loop thread only.
class Commands {
 public:
  // Called after each applied entry with the state before and after it.
  using Applied = std::function<void(const state::Snapshot& before, const state::Snapshot& after, const state::Outcome& outcome)>;

  Commands(io::Loop& loop, Rng& rng, state::Store& store, telemetry::Registry& metrics);

  void set_proposer(Proposer* proposer) { proposer_ = proposer; }
  void set_applied(Applied applied) { applied_ = std::move(applied); }

  // Proposes `command`, of LogType `log_type`, and waits until it is applied here. A command that the state refuses is a
  // Failure with its text. 500 "No cluster leader" when there is nobody to propose to.
  io::Task<endpoint::Outcome<state::Outcome>> propose(uint32_t log_type, const google::protobuf::Message& command,
                                                      Proposer::Patience patience = Proposer::Patience::kWait);
  // The same for a caller who waits for the answer: with a full disk it is a 500 that says so.
  io::Task<endpoint::Outcome<state::Outcome>> request(uint32_t log_type, const google::protobuf::Message& command) {
    return propose(log_type, command, Proposer::Patience::kRefuse);
  }

  // Applies a committed entry. An Error means that this server must stop: see state::Store::apply.
  Result<> apply(uint64_t index, ByteView entry);

  // Returns once everything up to `index` is applied, or kTimeout.
  io::Task<Result<>> wait_applied(uint64_t index, io::Deadline deadline);
  // Also after the state was replaced as a whole.
  uint64_t applied_index() const { return std::max(applied_index_, store_.snapshot().index()); }

 private:
  struct Waiting {
    std::optional<state::Outcome> outcome;
  };

  io::Loop& loop_;
  state::Store& store_;
  telemetry::Registry& metrics_;
  Proposer* proposer_ = nullptr;
  Applied applied_;
  io::Event progressed_;
  uint64_t applied_index_ = 0;
  uint64_t next_proposal_;  // starts at random: entries of an earlier process find nobody waiting
  std::map<uint64_t, Waiting*> waiting_;
};

}  // namespace steppe::server
