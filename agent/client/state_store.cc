#include "agent/client/state_store.h"

#include <lmdb.h>
#include <sys/statvfs.h>

#include <format>
#include <map>
#include <mutex>

#include "agent/schema/alloc.pb.h"
#include "init/base/ids.h"
#include "init/frame/frame.h"

namespace steppe::client {
namespace {

constexpr uint32_t kMaxRecord = 16u << 20;
constexpr size_t kMapSize = size_t{4} << 30;  // address space, not disk

// Tags are append-only.
enum AllocTag : uint16_t { kAllocMessage = 1 };
enum NodeTag : uint16_t { kNodeId = 1, kNodeSecret = 2 };
enum HealthTag : uint16_t { kHealthy = 1 };
enum TaskTag : uint16_t {
  kName = 1, kPhase = 2, kFailed = 3, kRestarts = 4, kAttempt = 5, kLastRestart = 6, kStartedAt = 7, kFinishedAt = 8,
  kCount = 9, kIntervalStart = 10, kEvents = 11, kHandle = 12, kPreparedOnce = 13, kAsked = 14,
};

Error lmdb_error(int code, std::string_view what) {
  Code kind = code == MDB_CORRUPTED || code == MDB_PAGE_NOTFOUND || code == MDB_INVALID || code == MDB_VERSION_MISMATCH ||
                      code == MDB_PANIC || code == MDB_BAD_TXN
                  ? Code::kCorrupt
              : code == MDB_MAP_FULL || code == ENOSPC ? Code::kExhausted
                                                       : Code::kIo;
  return Error(kind, std::format("client state: {}: {}", what, mdb_strerror(code)));
}

MDB_val value_of(std::string_view text) { return {text.size(), const_cast<char*>(text.data())}; }
std::string_view text_of(const MDB_val& value) { return {static_cast<const char*>(value.mv_data), value.mv_size}; }

// Whether the disk of the store has no room for one more of its pages and the directory's own growth.
bool is_full(MDB_env* env) {
  constexpr uint64_t kRoom = 1 << 20;
  mdb_filehandle_t file = -1;
  struct statvfs disk;
  return mdb_env_get_fd(env, &file) == 0 && ::fstatvfs(file, &disk) == 0 && disk.f_bavail * disk.f_frsize < kRoom;
}

class Transaction {
 public:
  static Result<Transaction> begin(MDB_env* env, unsigned flags) {
    MDB_txn* txn = nullptr;
    if (int code = mdb_txn_begin(env, nullptr, flags, &txn)) return lmdb_error(code, "begin");
    return Transaction(txn);
  }
  Transaction(Transaction&& other) noexcept : txn_(std::exchange(other.txn_, nullptr)) {}
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction() {
    if (txn_ != nullptr) mdb_txn_abort(txn_);
  }
  MDB_txn* get() const { return txn_; }
  Result<> commit() {
    MDB_env* env = mdb_txn_env(txn_);
    int code = mdb_txn_commit(std::exchange(txn_, nullptr));
    // LMDB calls a short write EIO. On a disk without room that is what it is: the pages that still fitted.
    if (code == EIO && is_full(env)) code = ENOSPC;
    if (code != 0) return lmdb_error(code, "commit");
    return {};
  }

 private:
  explicit Transaction(MDB_txn* txn) : txn_(txn) {}
  MDB_txn* txn_;
};

class Cursor {
 public:
  Cursor(MDB_txn* txn, MDB_dbi dbi) { code_ = mdb_cursor_open(txn, dbi, &cursor_); }
  Cursor(const Cursor&) = delete;
  ~Cursor() {
    if (cursor_ != nullptr) mdb_cursor_close(cursor_);
  }
  int seek(std::string_view at, MDB_val& key, MDB_val& value) {
    key = value_of(at);
    return code_ != 0 ? code_ : mdb_cursor_get(cursor_, &key, &value, at.empty() ? MDB_FIRST : MDB_SET_RANGE);
  }
  int next(MDB_val& key, MDB_val& value) { return get(key, value, MDB_NEXT); }
  int get(MDB_val& key, MDB_val& value, MDB_cursor_op where) {
    return code_ != 0 ? code_ : mdb_cursor_get(cursor_, &key, &value, where);
  }
  int remove() { return mdb_cursor_del(cursor_, 0); }

 private:
  MDB_cursor* cursor_ = nullptr;
  int code_ = 0;
};

class LmdbStore final : public StateStore {
 public:
  ~LmdbStore() override { mdb_env_close(env_); }

  Result<> init(const std::string& path) {
    if (int code = mdb_env_create(&env_)) return lmdb_error(code, "create");
    mdb_env_set_mapsize(env_, kMapSize);
    // NOTLS: a read may end on another thread of the pool than the one before. NOLOCK: there is one caller at a time, and
    // a lock file is mapped memory whose first touch is SIGBUS on a full disk.
    if (int code = mdb_env_open(env_, path.c_str(), MDB_NOTLS | MDB_NOMETASYNC | MDB_NORDAHEAD | MDB_NOLOCK, 0600)) {
      return lmdb_error(code, "open " + path);
    }
    STEPPE_TRY(Transaction txn, Transaction::begin(env_, 0));
    if (int code = mdb_dbi_open(txn.get(), nullptr, 0, &dbi_)) return lmdb_error(code, "open table");
    return txn.commit();
  }

  Result<> write(const std::vector<StateWrite>& writes) override {
    STEPPE_TRY(Transaction txn, Transaction::begin(env_, 0));
    for (const StateWrite& write : writes) {
      if (write.key.ends_with('*')) {
        STEPPE_TRY_VOID(remove_prefix(txn, write.key.substr(0, write.key.size() - 1)));
        continue;
      }
      MDB_val key = value_of(write.key), value = value_of(write.value);
      int code = write.value.empty() ? mdb_del(txn.get(), dbi_, &key, nullptr) : mdb_put(txn.get(), dbi_, &key, &value, 0);
      if (code != 0 && code != MDB_NOTFOUND) return lmdb_error(code, "write " + write.key);
    }
    return txn.commit();
  }

  Result<std::optional<NodeIdentity>> node() override {
    STEPPE_TRY(Transaction txn, Transaction::begin(env_, MDB_RDONLY));
    MDB_val key = value_of("node"), value;
    int code = mdb_get(txn.get(), dbi_, &key, &value);
    if (code == MDB_NOTFOUND) return std::optional<NodeIdentity>();
    if (code != 0) return lmdb_error(code, "read node");
    STEPPE_TRY(NodeIdentity identity, decode_node(as_bytes(text_of(value))));
    return std::optional(std::move(identity));
  }

  Result<Loaded> load() override {
    STEPPE_TRY(auto records, dump());
    Loaded out;
    std::map<std::string, StoredAlloc> allocs;
    std::map<std::string, std::string> damaged;  // alloc id -> why
    for (const auto& [key, value] : records) {
      size_t slash = key.find('/');
      if (slash == key.npos) continue;
      std::string kind = key.substr(0, slash), rest = key.substr(slash + 1);
      std::string id = rest.substr(0, rest.find('/'));
      Result<> read = read_record(kind, value, allocs[id]);
      if (!read.ok()) damaged[id] = read.error().message();
    }
    std::vector<StateWrite> drop;
    for (auto& [id, alloc] : allocs) {
      if (!damaged.contains(id) && (!alloc.alloc || alloc.alloc->id() != id)) damaged[id] = "its alloc record is missing";
      if (damaged.contains(id)) {
        out.damaged.push_back(std::format("alloc {}: {}", id, damaged[id]));
        for (StateWrite& write : StateWrite::forget(id)) drop.push_back(std::move(write));
      } else {
        out.allocs.push_back(std::move(alloc));
      }
    }
    if (!drop.empty()) STEPPE_TRY_VOID(write(drop));
    return out;
  }

  Result<std::vector<std::pair<std::string, std::string>>> dump() override {
    STEPPE_TRY(Transaction txn, Transaction::begin(env_, MDB_RDONLY));
    Cursor cursor(txn.get(), dbi_);
    std::vector<std::pair<std::string, std::string>> out;
    MDB_val key, value;
    int code = cursor.seek("", key, value);
    for (; code == 0; code = cursor.next(key, value)) out.emplace_back(text_of(key), text_of(value));
    if (code != MDB_NOTFOUND) return lmdb_error(code, "read");
    return out;
  }

 private:
  static Result<> read_record(const std::string& kind, const std::string& value, StoredAlloc& into) {
    if (kind == "alloc") {
      STEPPE_TRY(into.alloc, decode_alloc(as_bytes(value)));
    } else if (kind == "task") {
      STEPPE_TRY(StoredTask task, StoredTask::decode(as_bytes(value)));
      into.tasks.push_back(std::move(task));
    } else if (kind == "health") {
      STEPPE_TRY(frame::Message message, frame::decode(as_bytes(value), frame::kClientHealth, 1, kMaxRecord));
      into.health = message.integer(kHealthy) != 0;
    }
    return {};
  }

  Result<> remove_prefix(Transaction& txn, const std::string& prefix) {
    Cursor cursor(txn.get(), dbi_);
    MDB_val key, value;
    int code = cursor.seek(prefix, key, value);
    while (code == 0 && text_of(key).starts_with(prefix)) {
      if (int failed = cursor.remove()) return lmdb_error(failed, "remove " + prefix);
      code = cursor.seek(prefix, key, value);
    }
    if (code != 0 && code != MDB_NOTFOUND) return lmdb_error(code, "remove " + prefix);
    return {};
  }

  MDB_env* env_ = nullptr;
  MDB_dbi dbi_ = 0;
};

int64_t asked_bits(const TaskAsked& asked) { return asked.kill | asked.kill_fails << 1 | asked.no_delay << 2 | asked.restart << 3; }

std::string encode_events(const std::deque<TaskEvent>& events) {
  schema::TaskState state;
  for (const TaskEvent& event : events) event.to_schema(*state.add_events());
  return state.SerializeAsString();
}

}  // namespace

std::string encode_node(const NodeIdentity& identity) {
  return frame::Builder(frame::kClientNode, 1).text(kNodeId, identity.id).text(kNodeSecret, identity.secret).finish();
}

Result<NodeIdentity> decode_node(ByteView bytes) {
  STEPPE_TRY(frame::Message message, frame::decode(bytes, frame::kClientNode, 1, kMaxRecord));
  NodeIdentity out{std::string(message.text(kNodeId)), std::string(message.text(kNodeSecret))};
  if (!Uuid::parse(out.id).ok() || out.secret.empty()) return Error(Code::kCorrupt, "the stored identity is no node's");
  return out;
}

std::string encode_alloc(const schema::Allocation& alloc) {
  return frame::Builder(frame::kClientAlloc, 1).text(kAllocMessage, alloc.SerializeAsString()).finish();
}

Result<std::unique_ptr<schema::Allocation>> decode_alloc(ByteView bytes) {
  STEPPE_TRY(frame::Message message, frame::decode(bytes, frame::kClientAlloc, 1, kMaxRecord));
  auto alloc = std::make_unique<schema::Allocation>();
  std::string_view text = message.text(kAllocMessage);
  if (!alloc->ParseFromArray(text.data(), static_cast<int>(text.size()))) {
    return Error(Code::kCorrupt, "the stored alloc is no message");
  }
  return alloc;
}

std::string StoredTask::encode() const {
  frame::Builder out(frame::kClientTask, 1);
  out.text(kName, name)
      .integer(kPhase, static_cast<int64_t>(snapshot.phase))
      .integer(kFailed, snapshot.failed)
      .integer(kRestarts, static_cast<int64_t>(snapshot.restarts))
      .integer(kAttempt, static_cast<int64_t>(snapshot.attempt))
      .integer(kLastRestart, snapshot.last_restart.unix_ns)
      .integer(kStartedAt, snapshot.started_at.unix_ns)
      .integer(kFinishedAt, snapshot.finished_at.unix_ns)
      .integer(kCount, snapshot.restart_memory.count)
      .integer(kIntervalStart, snapshot.restart_memory.interval_start.unix_ns)
      .integer(kPreparedOnce, prepared_once)
      .integer(kAsked, asked_bits(snapshot.asked))
      .text(kEvents, encode_events(snapshot.events));
  if (handle) out.text(kHandle, handle->encode());
  return out.finish();
}

Result<StoredTask> StoredTask::decode(ByteView bytes) {
  STEPPE_TRY(frame::Message message, frame::decode(bytes, frame::kClientTask, 1, kMaxRecord));
  StoredTask out;
  out.name = message.text(kName);
  int64_t phase = message.integer(kPhase);
  if (phase < 0 || phase > static_cast<int64_t>(TaskPhase::kDead)) return Error(Code::kCorrupt, "unknown task phase");
  out.snapshot.phase = static_cast<TaskPhase>(phase);
  out.snapshot.failed = message.integer(kFailed) != 0;
  out.snapshot.restarts = static_cast<uint64_t>(message.integer(kRestarts));
  out.snapshot.attempt = static_cast<uint64_t>(message.integer(kAttempt));
  out.snapshot.last_restart = {message.integer(kLastRestart)};
  out.snapshot.started_at = {message.integer(kStartedAt)};
  out.snapshot.finished_at = {message.integer(kFinishedAt)};
  out.snapshot.restart_memory = {message.integer(kCount), {message.integer(kIntervalStart)}};
  out.prepared_once = message.integer(kPreparedOnce) != 0;
  int64_t asked = message.integer(kAsked);
  out.snapshot.asked = {(asked & 1) != 0, (asked & 2) != 0, (asked & 4) != 0, (asked & 8) != 0};
  std::string_view events = message.text(kEvents);
  schema::TaskState state;
  if (!state.ParseFromArray(events.data(), static_cast<int>(events.size()))) {
    return Error(Code::kCorrupt, "the stored task events are no message");
  }
  for (const schema::TaskEvent& event : state.events()) {
    if (out.snapshot.events.size() < kMaxTaskEvents) out.snapshot.events.push_back(TaskEvent::from_schema(event));
  }
  if (message.has(kHandle)) {
    STEPPE_TRY(out.handle, drivers::TaskHandle::decode(message.bytes(kHandle)));
  }
  return out;
}

StateWrite StateWrite::node(const NodeIdentity& identity) {
  return {"node", encode_node(identity)};
}
StateWrite StateWrite::alloc(const schema::Allocation& alloc) { return {"alloc/" + alloc.id(), encode_alloc(alloc)}; }
StateWrite StateWrite::health(std::string_view alloc_id, bool healthy) {
  return {std::format("health/{}", alloc_id), frame::Builder(frame::kClientHealth, 1).integer(kHealthy, healthy).finish()};
}
StateWrite StateWrite::task(std::string_view alloc_id, const StoredTask& task) {
  return {std::format("task/{}/{}", alloc_id, task.name), task.encode()};
}
std::vector<StateWrite> StateWrite::forget(std::string_view alloc_id) {
  return {{std::format("alloc/{}", alloc_id), ""}, {std::format("health/{}", alloc_id), ""},
          {std::format("task/{}/*", alloc_id), ""}};
}

Result<std::unique_ptr<StateStore>> StateStore::open(const std::string& path) {
  auto store = std::make_unique<LmdbStore>();
  STEPPE_TRY_VOID(store->init(path));
  return std::unique_ptr<StateStore>(std::move(store));
}

namespace {

struct CloseEnvironment {
  void operator()(MDB_env* env) const { mdb_env_close(env); }
};
using Environment = std::unique_ptr<MDB_env, CloseEnvironment>;

Result<Environment> open_environment(const std::string& path, unsigned flags) {
  MDB_env* made = nullptr;
  if (int code = mdb_env_create(&made)) return lmdb_error(code, "create");
  Environment env(made);
  mdb_env_set_mapsize(env.get(), kMapSize);
  if (int code = mdb_env_open(env.get(), path.c_str(), flags | MDB_NOTLS | MDB_NORDAHEAD, 0600)) return lmdb_error(code, "open " + path);
  return env;
}

// Keys in strict order: a damaged tree may lead in circles.
class OrderedRecords {
 public:
  OrderedRecords(Direction direction, const TakeRecord& take) : direction_(direction), take_(take) {}
  Result<> add(std::string_view key, std::string_view value) {
    bool ordered = !last_ || (direction_ == Direction::kForward ? *last_ < key : key < *last_);
    bytes_ += key.size() + value.size();
    if (!ordered || value.size() > kMaxRecord || bytes_ > kMaxStateBytes) return Error(Code::kCorrupt, "client state: its tree is damaged");
    last_ = key;
    ++count_;
    return take_(key, value);
  }
  size_t count() const { return count_; }

 private:
  Direction direction_;
  const TakeRecord& take_;
  std::optional<std::string> last_;
  size_t bytes_ = 0, count_ = 0;
};

}  // namespace

Result<> check_record(std::string_view key, std::string_view value) {
  ByteView bytes = as_bytes(value);
  if (key.starts_with("alloc/")) {
    STEPPE_TRY(auto alloc, decode_alloc(bytes));
    if (alloc->id() != key.substr(6)) return Error(Code::kCorrupt, "it is the record of alloc " + alloc->id());
  } else if (key.starts_with("task/")) {
    STEPPE_TRY(StoredTask task, StoredTask::decode(bytes));
    if (!key.ends_with("/" + task.name)) return Error(Code::kCorrupt, "it is the record of task " + task.name);
  } else if (key.starts_with("health/")) {
    STEPPE_TRY_VOID(frame::decode(bytes, frame::kClientHealth, 1, kMaxRecord));
  } else if (key == "node") {
    STEPPE_TRY_VOID(decode_node(bytes));
  }
  return {};
}

Result<> make_state_file(const std::string& path, const std::vector<StateRecord>& records) {
  STEPPE_TRY(Environment env, open_environment(path, MDB_NOSUBDIR | MDB_NOLOCK));
  STEPPE_TRY(Transaction txn, Transaction::begin(env.get(), 0));
  MDB_dbi dbi = 0;
  if (int code = mdb_dbi_open(txn.get(), nullptr, 0, &dbi)) return lmdb_error(code, "open table");
  for (const auto& [name, content] : records) {
    MDB_val key = value_of(name), value = value_of(content);
    if (int code = mdb_put(txn.get(), dbi, &key, &value, 0)) return lmdb_error(code, "write " + name);
  }
  STEPPE_TRY_VOID(txn.commit());
  // An empty transaction writes no page: the file must be there all the same.
  if (int code = mdb_env_sync(env.get(), 1)) return lmdb_error(code, "sync " + path);
  return {};
}

Result<> read_state_file(const std::string& directory, Direction direction, const TakeRecord& take) {
  STEPPE_TRY(Environment env, open_environment(directory, MDB_RDONLY | MDB_NOLOCK));
  STEPPE_TRY(Transaction txn, Transaction::begin(env.get(), MDB_RDONLY));
  MDB_dbi dbi = 0;
  if (int code = mdb_dbi_open(txn.get(), nullptr, 0, &dbi)) return lmdb_error(code, "open table");
  MDB_stat stat{};
  if (int code = mdb_stat(txn.get(), dbi, &stat)) return lmdb_error(code, "stat");
  Cursor cursor(txn.get(), dbi);
  OrderedRecords records(direction, take);
  MDB_val key, value;
  bool forward = direction == Direction::kForward;
  int code = cursor.get(key, value, forward ? MDB_FIRST : MDB_LAST);
  for (; code == 0; code = cursor.get(key, value, forward ? MDB_NEXT : MDB_PREV)) STEPPE_TRY_VOID(records.add(text_of(key), text_of(value)));
  if (code != MDB_NOTFOUND) return lmdb_error(code, "read");
  if (records.count() != stat.ms_entries) {
    return Error(Code::kCorrupt, std::format("client state: {} of {} records are there", records.count(), stat.ms_entries));
  }
  return {};
}

}  // namespace steppe::client
