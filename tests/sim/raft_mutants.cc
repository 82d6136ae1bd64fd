#include "tests/sim/raft_mutants.h"

#include "init/io/scope.h"

namespace steppe::sim {
namespace {

uint32_t seal_without_segment(uint64_t, uint64_t offset, std::string_view record) {
  return raft::position_seal(0, offset, record);
}
uint32_t seal_without_payload(uint64_t segment, uint64_t offset, std::string_view record) {
  return raft::position_seal(segment, offset, record.substr(0, raft::kRecordHeaderSize - 4));
}

class MutantLog final : public raft::LogStore {
 public:
  MutantLog(MutantHooks hooks, std::unique_ptr<raft::LogStore> log)
      : hooks_(std::move(hooks)), log_(std::move(log)), background_(*hooks_.loop) {}

  io::Task<Result<>> write(raft::LogBatch& batch) override {
    if (hooks_.mutant == Mutant::kHardStateNotPersisted) batch.hard.reset();
    if (hooks_.mutant == Mutant::kVoteNotPersisted && batch.hard) batch.hard->vote = 0;
    if (hooks_.mutant == Mutant::kAppliedBeforeCommit && !batch.entries.empty()) apply_data(batch.entries);
    if (batch.reset) last_ = batch.reset->index;
    const bool truncates = !batch.entries.empty() && batch.entries.front().index <= last_;
    if (!batch.entries.empty()) last_ = batch.entries.back().index;
    if (hooks_.mutant == Mutant::kAckEarly) {
      queue_.push_back(std::move(batch));
      batch = {};
      if (!std::exchange(writing_, true)) background_.spawn(write_queue());
      co_return {};
    }
    *hooks_.lie_now = hooks_.mutant == Mutant::kTruncateNotSynced && truncates;
    Result<> done = co_await log_->write(batch);
    *hooks_.lie_now = false;
    co_return done;
  }
  io::Task<Result<>> compact(raft::Index index) override { return log_->compact(index); }
  io::Task<Result<>> prepare() override { return log_->prepare(); }
  io::Task<Result<>> mark() override {
    if (writing_) co_return {};
    co_return co_await log_->mark();
  }
  io::Task<Result<>> close() override {
    co_await background_.join();
    co_return co_await log_->close();
  }
  // A node whose machine went off does not close its log: the background writes end by themselves.
  ~MutantLog() override { STEPPE_ASSERT(background_.running() == 0); }
  Counters counters() const override { return log_->counters(); }

 private:
  io::Task<void> write_queue() {
    while (!queue_.empty()) {
      raft::LogBatch batch = std::move(queue_.front());
      queue_.erase(queue_.begin());
      (void)co_await log_->write(batch);
    }
    writing_ = false;
  }
  void apply_data(const std::vector<raft::Entry>& entries) {
    for (const raft::Entry& entry : entries) {
      if (entry.type == raft::EntryType::kNormal && !entry.data.empty()) hooks_.apply(std::span(&entry, 1));
    }
  }

  MutantHooks hooks_;
  std::unique_ptr<raft::LogStore> log_;
  io::Scope background_;
  std::vector<raft::LogBatch> queue_;
  bool writing_ = false;
  raft::Index last_ = 0;
};

}  // namespace

std::string_view mutant_name(Mutant mutant) {
  switch (mutant) {
    case Mutant::kNone: return "none";
    case Mutant::kNoSync: return "no sync";
    case Mutant::kAckEarly: return "acknowledge early";
    case Mutant::kTruncateNotSynced: return "truncate not synced";
    case Mutant::kHardStateNotPersisted: return "hard state not persisted";
    case Mutant::kVoteNotPersisted: return "vote not persisted";
    case Mutant::kStaleSegmentReuse: return "stale segment reuse";
    case Mutant::kWrongChecksumScope: return "wrong checksum scope";
    case Mutant::kSnapshotRenamedBeforeSync: return "snapshot renamed before sync";
    case Mutant::kCompactedBeforeSnapshotDurable: return "compacted before the snapshot is durable";
    case Mutant::kAppliedBeforeCommit: return "applied before commit";
  }
  return "unknown";
}

raft::SealFn mutant_seal(Mutant mutant) {
  if (mutant == Mutant::kStaleSegmentReuse) return &seal_without_segment;
  if (mutant == Mutant::kWrongChecksumScope) return &seal_without_payload;
  return &raft::position_seal;
}

DiskLies mutant_lies(Mutant mutant, std::shared_ptr<bool> lie_now) {
  DiskLies lies;
  switch (mutant) {
    case Mutant::kNoSync:
      lies.skip_sync = [](const std::string& name) { return name.starts_with("log-") || name.starts_with("spare-"); };
      break;
    case Mutant::kTruncateNotSynced: lies.skip_sync = [lie_now](const std::string& name) { return *lie_now && name.starts_with("log-"); }; break;
    case Mutant::kSnapshotRenamedBeforeSync: lies.skip_sync = [](const std::string& name) { return name == "snapshot.part"; }; break;
    case Mutant::kCompactedBeforeSnapshotDurable:
      lies.skip_directory_sync = [](const std::string& from) { return from == "snapshot.part"; };
      break;
    default: break;
  }
  return lies;
}

std::unique_ptr<raft::LogStore> wrap_log(MutantHooks hooks, std::unique_ptr<raft::LogStore> log) {
  if (hooks.mutant == Mutant::kNone) return log;
  return std::make_unique<MutantLog>(std::move(hooks), std::move(log));
}

}  // namespace steppe::sim
