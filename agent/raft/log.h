#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/raft/segment.h"
#include "agent/raft/types.h"
#include "init/base/bytes.h"
#include "init/base/result.h"
#include "init/io/disk.h"

namespace steppe::raft {

// What must become durable together, in this order.
struct LogBatch {
  std::optional<SnapshotPoint> reset;  // the log starts anew after this point
  std::vector<Entry> entries;          // replace any suffix from the first one's index on
  std::optional<HardState> hard;
  bool empty() const { return !reset && entries.empty() && !hard; }
};

// Where the shell keeps the log. Loop thread only. write(), compact() and prepare() may overlap each
// other, none of them itself; nothing overlaps close().
class LogStore {
 public:
  virtual ~LogStore() = default;
  // Returns once the batch is durable; one fdatasync unless it crosses a segment's end. What became
  // durable is taken out of `batch`. kExhausted with no space for the next segment: nothing else is
  // harmed, the same batch may be tried again. After any other error the log is not usable any more.
  virtual io::Task<Result<>> write(LogBatch& batch) = 0;
  // Deletes segments that hold nothing after `index`, which a durable snapshot covers.
  virtual io::Task<Result<>> compact(Index index) = 0;
  // To be called from time to time: makes the next segment ahead of its need.
  virtual io::Task<Result<>> prepare() = 0;
  // Notes without a sync of its own that the last batch is durable: once that note is on the disk, a change
  // to that batch is damage, where before it could be a write that a crash cut. For idle moments; not
  // beside write().
  virtual io::Task<Result<>> mark() = 0;
  // Marks an orderly end, after which any change to the bytes is recognised as damage.
  virtual io::Task<Result<>> close() = 0;

  struct Counters {
    uint64_t syncs = 0;
    uint64_t batches = 0;
    uint64_t entries = 0;
    uint64_t bytes = 0;
    uint64_t segments = 0;
  };
  virtual Counters counters() const = 0;
};

// A log of fixed-size, preallocated segments in one directory: log-<number>.seg, numbers in 16 hex
// digits, consecutive; spare-<number>.seg are recycled or prepared files without meaning.
class DiskLog final : public LogStore {
 public:
  struct Settings {
    Bytes segment = Bytes::mib(8);  // at least max_entry + 4 KiB
    Bytes max_entry = Bytes::mib(4);
    SealFn seal = &position_seal;
  };
  struct Opened;

  // Reads the log. `snapshot`: the newest durable snapshot (index 0: none). A write that a crash cut is
  // dropped; a changed or missing part is kCorrupt and alters nothing. `boot`: the founding members of
  // an empty log, which then begins after kFoundingIndex; ignored by any other log; empty = this server
  // waits to be added by others.
  static io::Task<Result<Opened>> open(io::Directory& directory, Settings settings, SnapshotPoint snapshot, ConfState boot);

  io::Task<Result<>> write(LogBatch& batch) override;
  io::Task<Result<>> compact(Index index) override;
  io::Task<Result<>> prepare() override;
  io::Task<Result<>> mark() override;
  io::Task<Result<>> close() override;
  Counters counters() const override { return counters_; }

 private:
  struct Segment {
    uint64_t number = 0;
    Index previous_index = 0;  // the last entry before it
  };
  struct Replay;
  DiskLog(io::Directory& directory, const Settings& settings) : directory_(directory), settings_(settings) {}

  static io::Task<Result<>> read_segments(DiskLog& log, Replay& replay);
  io::Task<Result<>> clean_up(const std::vector<uint64_t>& remnants);
  void adopt(const Saved& saved);
  io::Task<Result<>> make_file(std::string name);
  io::Task<Result<>> roll();
  // Moves records from the front of `batch` into pending_ while the segment has room.
  void take_fitting(LogBatch& batch);
  void put(Record record);
  uint64_t room() const { return settings_.segment.count - end_ - pending_.size(); }

  io::Directory& directory_;
  Settings settings_;
  std::deque<Segment> segments_;        // oldest first; the last one is written to when file_ is set
  std::vector<std::string> spares_;
  std::unique_ptr<io::File> file_;
  uint64_t end_ = 0;                    // of what was written to the last segment
  uint64_t durable_end_ = 0;            // of what is durable there: end_, or where a mark begins
  std::string pending_;                 // the records of the batch being written, to stand at end_
  bool marked_ = true;                  // nothing to mark
  bool failed_ = false;
  Index last_index_ = 0;
  Term last_term_ = 0;
  std::optional<SnapshotPoint> reset_;  // to be recorded before anything else: a snapshot replaced the log
  HardState hard_;
  ConfState boot_;
  uint64_t next_spare_ = 1;
  Counters counters_;
};

struct DiskLog::Opened {
  std::unique_ptr<DiskLog> log;
  Saved saved;
  bool torn = false;  // a write that a crash had cut was dropped
};

// Puts together what the log says and where the newest snapshot stands: the entries after it, or none
// when the snapshot replaced them. `base`: the last entry before the log's first.
Result<Saved> reconcile(SnapshotPoint base, HardState hard, std::vector<Entry> entries, SnapshotPoint snapshot);

}  // namespace steppe::raft
