#include "agent/state/store.h"

#include <google/protobuf/arena.h>

#include <format>
#include <mutex>

#include "agent/schema/log.pb.h"
#include "agent/state/entry.h"
#include "agent/state/writer.h"

namespace steppe::state {

// Where dropped snapshots go. Counts are plain integers of the writer's thread, so whoever drops the last copy of a
// snapshot only leaves its root here. After the store is gone, droppers free by themselves, one at a time.
class Retired {
 public:
  void leave(Root* root) {
    std::lock_guard lock(mutex_);
    if (!closed_) {
      roots_.push_back(root);
      return;
    }
    Reclaimer reclaimer;
    root->release(reclaimer);
    delete root;
  }
  // Releases what the roots hold; freeing it is the reclaimer's.
  void collect(Reclaimer& reclaimer) {
    std::vector<Root*> roots;
    {
      std::lock_guard lock(mutex_);
      roots.swap(roots_);
    }
    for (Root* root : roots) {
      root->release(reclaimer);
      delete root;
    }
  }
  // The last of the writer goes under the lock: a snapshot that outlives it shares its rows.
  void close(std::unique_ptr<Writer>& writer) {
    std::lock_guard lock(mutex_);
    closed_ = true;
    for (Root* root : roots_) {
      root->release(writer->reclaimer());
      delete root;
    }
    roots_.clear();
    writer.reset();
  }

 private:
  std::mutex mutex_;
  bool closed_ = false;
  std::vector<Root*> roots_;
};

namespace {

// How much an entry frees of what dropped snapshots held, beside what it replaced itself.
constexpr size_t kFreedPerEntry = 512;

template <class Command>
Result<std::optional<Error>> run_as(Entry& entry, ByteView bytes) {
  google::protobuf::Arena arena;
  Command& command = *google::protobuf::Arena::CreateMessage<Command>(&arena);
  if (!command.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return Error(Code::kCorrupt,
                 std::format("log command {}: {} bytes do not decode", command.GetTypeName(), bytes.size()));
  }
  Result<> done = entry.run(command);
  if (!done.ok()) return std::optional<Error>(std::move(done).error());
  entry.finish();
  return std::optional<Error>();
}

Result<std::optional<Error>> dispatch(Entry& entry, uint32_t log_type, ByteView bytes) {
  switch (log_type) {
    case schema::LOG_NOOP:
    case schema::LOG_BARRIER: return std::optional<Error>();
    case schema::LOG_JOB_REGISTER: return run_as<schema::LogJobRegister>(entry, bytes);
    case schema::LOG_JOB_DEREGISTER: return run_as<schema::LogJobDeregister>(entry, bytes);
    case schema::LOG_EVAL_UPSERT: return run_as<schema::LogEvalUpsert>(entry, bytes);
    case schema::LOG_EVAL_DELETE: return run_as<schema::LogEvalDelete>(entry, bytes);
    case schema::LOG_PLAN_APPLY: return run_as<schema::LogPlanApply>(entry, bytes);
    case schema::LOG_ALLOC_CLIENT_UPDATE: return run_as<schema::LogAllocClientUpdate>(entry, bytes);
    case schema::LOG_ALLOC_DESIRED_TRANSITION: return run_as<schema::LogAllocDesiredTransition>(entry, bytes);
    case schema::LOG_NODE_REGISTER: return run_as<schema::LogNodeRegister>(entry, bytes);
    case schema::LOG_NODE_DEREGISTER: return run_as<schema::LogNodeDeregister>(entry, bytes);
    case schema::LOG_NODE_STATUS: return run_as<schema::LogNodeStatus>(entry, bytes);
    case schema::LOG_NODE_DRAIN: return run_as<schema::LogNodeDrain>(entry, bytes);
    case schema::LOG_NODE_ELIGIBILITY: return run_as<schema::LogNodeEligibility>(entry, bytes);
    case schema::LOG_NODE_EVENTS: return run_as<schema::LogNodeEvents>(entry, bytes);
    case schema::LOG_DEPLOYMENT_STATUS: return run_as<schema::LogDeploymentStatus>(entry, bytes);
    case schema::LOG_DEPLOYMENT_PROMOTE: return run_as<schema::LogDeploymentPromote>(entry, bytes);
    case schema::LOG_DEPLOYMENT_ALLOC_HEALTH: return run_as<schema::LogDeploymentAllocHealth>(entry, bytes);
    case schema::LOG_DEPLOYMENT_DELETE: return run_as<schema::LogDeploymentDelete>(entry, bytes);
    case schema::LOG_JOB_STABILITY: return run_as<schema::LogJobStability>(entry, bytes);
    case schema::LOG_GC_REAP: return run_as<schema::LogGcReap>(entry, bytes);
    case schema::LOG_SCHEDULER_CONFIG: return run_as<schema::LogSchedulerConfig>(entry, bytes);
    case schema::LOG_RECONCILE_SUMMARIES: return run_as<schema::LogReconcileSummaries>(entry, bytes);
    case schema::LOG_NODE_POOL_UPSERT: return run_as<schema::LogNodePoolUpsert>(entry, bytes);
    case schema::LOG_NODE_POOL_DELETE: return run_as<schema::LogNodePoolDelete>(entry, bytes);
    case schema::LOG_CLUSTER_VERSION: return run_as<schema::LogClusterVersion>(entry, bytes);
    default:
      return Error(Code::kCorrupt,
                   std::format("log command of unknown type {}: written by a newer version, or damaged", log_type));
  }
}

}  // namespace

Store::Store(Limits limits)
    : limits_(limits),
      watches_(limits.watches),
      retired_(std::make_shared<Retired>()),
      writer_(std::make_unique<Writer>(Writer::Start::kBuiltInPools)) {}

Store::~Store() {
  current_ = Snapshot();
  retired_->close(writer_);
}

Result<Outcome> Store::apply(uint64_t index, uint32_t log_type, ByteView command) {
  STEPPE_ASSERT(index > writer_->root().index);
  // What nobody else holds any more must not be copied below: the last snapshot goes first.
  current_ = Snapshot();
  retired_->collect(writer_->reclaimer());
  size_t waiting = writer_->reclaimer().waiting();
  Outcome outcome;
  {
    Entry entry(*writer_, index, limits_, watches_.waiting() > 0);
    Result<std::optional<Error>> done = dispatch(entry, log_type, command);
    if (!done.ok()) return std::move(done).error().wrap(std::format("apply entry {}", index));
    outcome = std::move(entry.outcome());
    outcome.refused = std::move(*done);
  }
  writer_->root().index = index;
  outcome.changes = writer_->take_changes();
  size_t replaced = writer_->reclaimer().waiting() - waiting;
  writer_->reclaimer().step(2 * replaced + kFreedPerEntry);
  std::vector<WatchKey> keys = writer_->take_keys();
  watches_.fire(index, keys);
  return outcome;
}

Snapshot Store::snapshot() {
  if (!current_) {
    auto* root = new Root(writer_->root().share());
    current_ = Snapshot(std::shared_ptr<const Root>(
        root, [retired = retired_](const Root* dropped) { retired->leave(const_cast<Root*>(dropped)); }));
  }
  return current_;
}

bool Store::reclaim(size_t limit) {
  retired_->collect(writer_->reclaimer());
  return writer_->reclaimer().step(limit) > 0;
}

void Store::install(std::unique_ptr<Writer> restored) {
  current_ = Snapshot();
  retired_->collect(writer_->reclaimer());
  // The old rows are freed at once: nothing else runs while a server takes over a snapshot.
  writer_ = std::move(restored);
  watches_.fire_all(writer_->root().index);
}

}  // namespace steppe::state
