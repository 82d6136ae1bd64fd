#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/state/table.h"
#include "init/base/ids.h"
#include "init/base/result.h"

namespace steppe::state {

// One thing a blocking query waits on: a whole table, one row, or the rows of a table that belong to an owner.
struct WatchKey {
  enum class Scope : uint8_t {
    kTable,         // any change of the table
    kRow,           // one row: UUID bytes, "namespace\0job" or a pool's name
    kOfNode,        // allocs on a node
    kOfJob,         // allocs, evals, deployments, versions of a job; children of a parent job
    kOfEval,        // allocs of an eval
    kOfDeployment,  // allocs of a deployment
  };
  Table table;
  Scope scope;
  std::string key;
  friend auto operator<=>(const WatchKey&, const WatchKey&) = default;

  static WatchKey whole(Table table) { return {table, Scope::kTable, {}}; }
  static WatchKey row(Table table, const Uuid& id);
  static WatchKey row(Table table, std::string_view name) { return {table, Scope::kRow, std::string(name)}; }
  static WatchKey job(std::string_view ns, std::string_view job_id);  // the row in kJobs
  static WatchKey of_job(Table table, std::string_view ns, std::string_view job_id);
  static WatchKey allocs_of_node(const Uuid& id);
  static WatchKey allocs_of_eval(const Uuid& id);
  static WatchKey allocs_of_deployment(const Uuid& id);
};

class WatchHub;

// Holding one keeps the wait registered; destroying it forgets the wait without calling back. Loop thread only.
class WatchToken {
 public:
  WatchToken() = default;
  WatchToken(WatchToken&& other) noexcept : hub_(std::exchange(other.hub_, nullptr)), id_(other.id_) {}
  WatchToken& operator=(WatchToken&& other) noexcept;
  ~WatchToken();
  bool armed() const;  // false once fired

 private:
  friend class WatchHub;
  WatchToken(WatchHub* hub, uint64_t id) : hub_(hub), id_(id) {}
  WatchHub* hub_ = nullptr;
  uint64_t id_ = 0;
};

// Who waits for what. One-shot: a wait fires at the end of the first apply that touches one of its keys, and is gone.
// The pattern that misses nothing: take a snapshot, read, and if the result is not newer than the index asked for,
// wait() on the same loop turn, before anything else can be applied.
//
// Owned by the Store; must outlive its tokens. Loop thread only. Callbacks run inside Store::apply after all of the
// entry is in place, in the order of registration; they may register and drop waits, but not apply.
class WatchHub {
 public:
  using Callback = std::function<void(uint64_t index)>;

  // At most `limit` waits at once: one more is kExhausted (the API answers 429).
  explicit WatchHub(size_t limit = 65536) : limit_(limit) {}
  WatchHub(const WatchHub&) = delete;
  WatchHub& operator=(const WatchHub&) = delete;

  // Requires at least one key.
  Result<WatchToken> wait(std::vector<WatchKey> keys, Callback callback);
  size_t waiting() const { return waits_.size(); }

  // For the Store: an entry changed `keys`; or everything changed (a snapshot was restored).
  void fire(uint64_t index, const std::vector<WatchKey>& keys);
  void fire_all(uint64_t index);

 private:
  friend class WatchToken;
  struct Wait {
    std::vector<WatchKey> keys;
    Callback callback;
  };
  void forget(uint64_t id);
  void run(uint64_t index, std::vector<uint64_t> ids);

  size_t limit_;
  uint64_t next_id_ = 1;
  std::map<uint64_t, Wait> waits_;
  std::map<WatchKey, std::vector<uint64_t>> by_key_;
};

}  // namespace steppe::state
