#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/client/task_machine.h"
#include "drivers/api/task_handle.h"
#include "init/base/result.h"

namespace steppe::schema {
class Allocation;
}

namespace steppe::client {

// What the client remembers over its own death: who it is, its allocs, and how far each task is. An LMDB environment
// whose values are checksummed, versioned frames (init/frame): a damaged record costs the alloc it belongs to.
//
//   "node"                 id and secret
//   "alloc/ALLOC"          the alloc as the server sent it
//   "health/ALLOC"         the deployment health that was reported
//   "task/ALLOC/TASK"      phase, counters, events, driver handle
//
// One transaction a write() call, durable against the death of the agent when it returns, and against a power cut up
// to the last transactions (data is synced, the last meta page may be lost): tasks do not survive that anyway.

struct NodeIdentity {
  std::string id, secret;
};

struct StoredTask {
  std::string name;
  TaskSnapshot snapshot;
  std::optional<drivers::TaskHandle> handle;
  bool prepared_once = false;  // artifacts are there

  std::string encode() const;
  static Result<StoredTask> decode(ByteView bytes);
};

std::string encode_alloc(const schema::Allocation& alloc);
Result<std::unique_ptr<schema::Allocation>> decode_alloc(ByteView bytes);

struct StoredAlloc {
  std::unique_ptr<schema::Allocation> alloc;
  std::vector<StoredTask> tasks;
  std::optional<bool> health;
};

// One change: an empty value removes the key; a key that ends in '*' removes all keys with that prefix.
struct StateWrite {
  std::string key;
  std::string value;

  static StateWrite node(const NodeIdentity& identity);
  static StateWrite alloc(const schema::Allocation& alloc);
  static StateWrite health(std::string_view alloc_id, bool healthy);
  static StateWrite task(std::string_view alloc_id, const StoredTask& task);
  // The three of forget() are written together.
  static std::vector<StateWrite> forget(std::string_view alloc_id);
};

// All members block and may be called from any one thread at a time.
class StateStore {
 public:
  // Opens or makes the environment in the existing directory `path`. kCorrupt when LMDB refuses what is there.
  static Result<std::unique_ptr<StateStore>> open(const std::string& path);
  virtual ~StateStore() = default;

  virtual Result<> write(const std::vector<StateWrite>& writes) = 0;
  virtual Result<std::optional<NodeIdentity>> node() = 0;

  struct Loaded {
    std::vector<StoredAlloc> allocs;     // by id
    std::vector<std::string> damaged;    // "alloc <id>: <what>": these were dropped from the store
  };
  virtual Result<Loaded> load() = 0;
  virtual Result<std::vector<std::pair<std::string, std::string>>> dump() = 0;  // for tests and repair
};

// Walks every record of the store at `path` and says whether LMDB survives it. Run in a child process before open():
// LMDB trusts its pages, and a damaged one may crash it. Returns the exit code for main(): 0 good, 1 damaged.
int check_state_store(const std::string& path);

}  // namespace steppe::client
