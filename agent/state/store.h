#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/state/snapshot.h"
#include "agent/state/table.h"
#include "agent/state/watch.h"
#include "init/base/bytes.h"
#include "init/base/result.h"

namespace steppe::state {

class Retired;
class Writer;

// One row that an entry touched, in the order of the touches; a row touched twice stands there twice.
struct Change {
  enum class Kind : uint8_t { kUpsert, kDelete };
  Table table;
  Kind kind;
  Uuid id;          // nodes, evals, allocs, deployments
  std::string key;  // jobs and what hangs on them: job_key(ns, id); pools: the name
};

// What an entry did.
struct Outcome {
  uint64_t index = 0;
  // The command was well formed but may not be done: unknown node, terminal deployment, lower cluster version. Nothing
  // but the index changed. The text is for the requester.
  std::optional<Error> refused;
  std::vector<Change> changes;
  // Evals that the entry stored, in order, with their new content in the state: for the broker. Evals that the entry
  // only cancelled stand here, too.
  std::vector<EvalId> evals;
  uint64_t job_modify_index = 0;  // of the job that the entry registered or stopped
  bool updated = false;           // LogSchedulerConfig: stored; false: the CAS index did not match
};

struct Limits {
  size_t watches = 65536;
  uint32_t job_versions = 6;  // untagged ones kept per job
};

// The state machine behind the log: tables, indexes, watches. Pure: the same entries give the same state, whatever the
// clock, the machine or the order of maps. One writer: all of it belongs to the server's loop thread; what other
// threads get is snapshots.
class Store {
 public:
  explicit Store(Limits limits = {});
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;
  ~Store();  // snapshots may outlive it

  // Applies one committed entry. Requires index > applied index. `log_type` is schema::LogType, `command` the encoded
  // message of that type. An Error means that the entry cannot be understood (unknown type, undecodable bytes) or that
  // memory is damaged: the state is unchanged, and the caller must stop, because going on would part it from its peers.
  Result<Outcome> apply(uint64_t index, uint32_t log_type, ByteView command);

  // The state after the last apply. O(1); between two applies the same snapshot is handed out.
  Snapshot snapshot();

  WatchHub& watches() { return watches_; }

  // Frees up to `limit` rows and tree nodes that only dropped snapshots held. apply() frees some on its own; call this
  // when the loop is idle. Returns true while there is more to free.
  bool reclaim(size_t limit);

  // Replaces everything by a persisted state (persist.h reads the bytes) and wakes all watches.
  void install(std::unique_ptr<Writer> restored);
  Writer& writer() { return *writer_; }  // for the parts of state/ only

 private:
  Limits limits_;
  WatchHub watches_;
  std::shared_ptr<Retired> retired_;
  std::unique_ptr<Writer> writer_;
  Snapshot current_;
};

}  // namespace steppe::state
