#pragma once

#include <cstdint>
#include <functional>
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

std::string encode_node(const NodeIdentity& identity);
Result<NodeIdentity> decode_node(ByteView bytes);

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
  // Opens or makes the environment in the existing directory `path`. kCorrupt when LMDB refuses what is there. What is
  // there must be a file that can be trusted: see state_recovery.h.
  static Result<std::unique_ptr<StateStore>> open(const std::string& path);
  virtual ~StateStore() = default;

  virtual Result<> write(const std::vector<StateWrite>& writes) = 0;
  virtual Result<std::optional<NodeIdentity>> node() = 0;

  struct Loaded {
    std::vector<StoredAlloc> allocs;     // by id
    std::vector<std::string> damaged;    // "alloc <id>: <what>": these were dropped from the store
  };
  virtual Result<Loaded> load() = 0;
  virtual Result<std::vector<std::pair<std::string, std::string>>> dump() = 0;  // for tests
};

// One key and its value, as stored.
using StateRecord = std::pair<std::string, std::string>;

// kCorrupt when the value is not what its key promises. A key of an unknown kind is fine: a newer version wrote it.
Result<> check_record(std::string_view key, std::string_view value);

// Makes the file `path` with these records; durable when it returns. The file must not be there.
Result<> make_state_file(const std::string& path, const std::vector<StateRecord>& records);

// Gives every record of the state file in `directory` to `take`, in the order of the keys or against it, and opens it
// for reading only. kCorrupt when LMDB refuses the file, a page, or more than kMaxStateBytes; and, because LMDB checks
// little, it may crash or never return on a damaged file: only for a process that can be spared.
enum class Direction : uint8_t { kForward, kBackward };
using TakeRecord = std::function<Result<>(std::string_view key, std::string_view value)>;
Result<> read_state_file(const std::string& directory, Direction direction, const TakeRecord& take);
inline constexpr size_t kMaxStateBytes = size_t{512} << 20;

}  // namespace steppe::client
