#include "agent/raft/log.h"

#include <algorithm>
#include <format>

#include "init/base/assert.h"

namespace steppe::raft {
namespace {

constexpr size_t kMaxSpares = 2;
constexpr size_t kZeroChunk = 1 << 20;

std::string segment_name(uint64_t number) { return std::format("log-{:016x}.seg", number); }
std::string spare_name(uint64_t number) { return std::format("spare-{:016x}.seg", number); }

// The number in PREFIX<16 hex digits>.seg.
std::optional<uint64_t> number_of(std::string_view name, std::string_view prefix) {
  if (name.size() != prefix.size() + 20 || !name.starts_with(prefix) || !name.ends_with(".seg")) return std::nullopt;
  uint64_t number = 0;
  for (const char c : name.substr(prefix.size(), 16)) {
    if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) return std::nullopt;
    number = number << 4 | static_cast<uint64_t>(c <= '9' ? c - '0' : c - 'a' + 10);
  }
  return number;
}

Error broken(uint64_t segment, std::string_view what) {
  return {Code::kCorrupt, std::format("log segment {}: {}. Nothing was altered. Join this server anew with an empty data "
                                      "directory, or restore its directory from a copy", segment, what)};
}

io::Task<Result<std::string>> read_all(io::File& file) {
  STEPPE_CO_TRY(const uint64_t size, co_await file.size());
  if (size > (uint64_t{1} << 30)) co_return Error(Code::kCorrupt, "a log segment of more than 1 GiB");
  std::string bytes(size, '\0');
  STEPPE_CO_TRY(const size_t count, co_await file.read_at(0, std::as_writable_bytes(std::span(bytes))));
  bytes.resize(count);
  co_return bytes;
}

}  // namespace

// What the records of all live segments add up to.
struct DiskLog::Replay {
  SnapshotPoint base;
  HardState hard;
  ConfState boot;
  std::vector<Entry> entries;
  bool any = false;
  bool torn = false;
  uint64_t unused = 0;  // the newest segment when it has no header

  Index last_index() const { return entries.empty() ? base.index : entries.back().index; }
  Term last_term() const { return entries.empty() ? base.term : entries.back().term; }

  Result<> header(uint64_t number, const Record& record) {
    STEPPE_TRY(const SegmentHeader header, SegmentHeader::decode(record.payload));
    if (!any) {
      base = {record.index, record.term, {}};
      boot = header.boot;
    } else if (record.index != last_index() || record.term != last_term() || header.hard.term < hard.term) {
      return broken(number, std::format("it continues entry {} of term {}, but the segment before it ends with entry {} of term {}",
                                        record.index, record.term, last_index(), last_term()));
    }
    hard = header.hard;
    any = true;
    return {};
  }

  Result<> entry(uint64_t number, const Record& record) {
    if (record.index != last_index() + 1 || record.term < last_term() || record.term == 0) {
      return broken(number, std::format("entry {} of term {} follows entry {} of term {}", record.index, record.term,
                                        last_index(), last_term()));
    }
    entries.push_back({record.index, record.term, record.type, std::string(record.payload)});
    return {};
  }

  Result<> take(uint64_t number, const Record& record) {
    switch (record.kind) {
      case RecordKind::kHeader: return broken(number, "a second header");
      case RecordKind::kEntry: return entry(number, record);
      case RecordKind::kHardState: {
        STEPPE_TRY(hard, decode_hard_state(record.payload));
        return {};
      }
      case RecordKind::kTruncate:
        if (record.index == 0 || record.index > last_index()) return broken(number, "a truncation outside the log");
        if (record.index <= base.index) {  // of entries in a segment that is compacted away by now
          base = {record.index - 1, 0, {}};
          entries.clear();
        }
        entries.resize(record.index - base.index - 1);
        return {};
      case RecordKind::kReset:
        base = {record.index, record.term, {}};
        entries.clear();
        return {};
      case RecordKind::kDurable: return {};
    }
    return {};
  }
};

Result<Saved> reconcile(SnapshotPoint base, HardState hard, std::vector<Entry> entries, SnapshotPoint snapshot) {
  if (base.index > snapshot.index) {
    return Error(Code::kCorrupt,
                 std::format("the log begins after entry {} but the newest readable snapshot ends at entry {}: entries between "
                             "them are lost. Join this server anew with an empty data directory, or restore its directory "
                             "from a copy", base.index, snapshot.index));
  }
  const Index last = entries.empty() ? base.index : entries.back().index;
  const uint64_t covered = snapshot.index - base.index;  // entries that the snapshot stands for
  Term term_there = 0;
  if (covered == 0) term_there = base.term;
  else if (snapshot.index <= last) term_there = entries[covered - 1].term;
  Saved saved;
  if (snapshot.index <= last && term_there == snapshot.term) {
    saved.entries.assign(std::make_move_iterator(entries.begin() + static_cast<ptrdiff_t>(covered)),
                         std::make_move_iterator(entries.end()));
  }  // else the snapshot came from a leader and the crash was before the log was reset: it replaces all
  // A snapshot of a term that we never wrote down: the term counts, we gave no vote in it.
  if (hard.term < snapshot.term) hard = {snapshot.term, 0, hard.commit};
  const Index end = saved.entries.empty() ? snapshot.index : saved.entries.back().index;
  hard.commit = std::clamp(hard.commit, snapshot.index, end);
  saved.hard = hard;
  saved.snapshot = std::move(snapshot);
  return saved;
}

io::Task<Result<>> DiskLog::read_segments(DiskLog& log, Replay& replay) {
  // Backwards first: only the next segment's header knows where one ends.
  std::optional<uint64_t> end;
  std::vector<std::pair<std::string, SegmentScan>> scans(log.segments_.size());
  for (size_t i = log.segments_.size(); i-- > 0;) {
    const uint64_t number = log.segments_[i].number;
    auto file = co_await log.directory_.open(segment_name(number), io::OpenMode::kRead);
    if (!file.ok()) co_return std::move(file).error();
    auto bytes = co_await read_all(**file);
    if (!bytes.ok()) co_return std::move(bytes).error().wrap("read " + segment_name(number));
    scans[i].first = *std::move(bytes);
    STEPPE_CO_TRY(scans[i].second, scan_segment(number, scans[i].first, end, log.settings_.seal));
    const SegmentScan& scan = scans[i].second;
    if (scans[i].first.size() < kMinSegmentSize) co_return broken(number, "it has been cut short");
    if (scan.records.empty()) {
      // Prepared, or cut during its first write: not in use yet. Only the newest one may be that.
      if (end) co_return broken(number, "it has no header");
      replay.torn |= scan.torn;
      log.segments_.pop_back();
      replay.unused = number;
      scans.pop_back();
      continue;
    }
    if (scan.records[0].kind != RecordKind::kHeader) co_return broken(number, "its first record is no header");
    replay.torn |= !end && scan.torn;
    if (!end) log.end_ = log.durable_end_ = scan.end;
    STEPPE_CO_TRY(const SegmentHeader header, SegmentHeader::decode(scan.records[0].payload));
    if (scans[i].first.size() < header.size) co_return broken(number, "it has been cut short");
    end = header.previous_end;
  }
  for (size_t i = 0; i < scans.size(); ++i) {
    const std::vector<Record>& records = scans[i].second.records;
    log.segments_[i].previous_index = records[0].index;
    STEPPE_CO_TRY_VOID(replay.header(log.segments_[i].number, records[0]));
    for (size_t r = 1; r < records.size(); ++r) STEPPE_CO_TRY_VOID(replay.take(log.segments_[i].number, records[r]));
  }
  co_return {};
}

// Everything here may be done again by the next start.
io::Task<Result<>> DiskLog::clean_up(const std::vector<uint64_t>& remnants) {
  for (const uint64_t number : remnants) STEPPE_CO_TRY_VOID(co_await directory_.remove(segment_name(number)));
  co_return {};
}

void DiskLog::adopt(const Saved& saved) {
  hard_ = saved.hard;
  const Index end = saved.entries.empty() ? saved.snapshot.index : saved.entries.back().index;
  const Term end_term = saved.entries.empty() ? saved.snapshot.term : saved.entries.back().term;
  if (end != last_index_ || end_term != last_term_) reset_ = saved.snapshot;
}

io::Task<Result<DiskLog::Opened>> DiskLog::open(io::Directory& directory, Settings settings, SnapshotPoint snapshot, ConfState boot) {
  STEPPE_ASSERT(settings.segment.count >= settings.max_entry.count + 4096 && settings.segment.count < UINT32_MAX);
  std::unique_ptr<DiskLog> log(new DiskLog(directory, settings));
  STEPPE_CO_TRY(const auto listing, co_await directory.list());
  std::vector<uint64_t> numbers;
  for (const auto& item : listing) {
    if (const auto number = number_of(item.name, "log-")) numbers.push_back(*number);
    if (const auto number = number_of(item.name, "spare-")) {
      log->spares_.push_back(item.name);
      log->next_spare_ = std::max(log->next_spare_, *number + 1);
    }
  }
  // Compaction deletes from the front; a crash may leave any of the deleted ones behind.
  size_t first = numbers.size();
  while (first > 0 && numbers[first - 1] + (numbers.size() - first) == numbers.back()) --first;
  std::vector<uint64_t> remnants(numbers.begin(), numbers.begin() + static_cast<ptrdiff_t>(first));
  for (size_t i = first; i < numbers.size(); ++i) log->segments_.push_back({numbers[i], 0});

  Replay replay;
  STEPPE_CO_TRY_VOID(co_await read_segments(*log, replay));
  if (!replay.any && snapshot.index != 0) {
    co_return Error(Code::kCorrupt, std::format("there is a snapshot up to entry {} but no log beside it: this server's votes are "
                                                "lost. Join it anew with an empty data directory", snapshot.index));
  }
  log->boot_ = replay.any ? replay.boot : std::move(boot);
  const bool founded = !log->boot_.voters.empty();
  const bool snapshot_exists = snapshot.index != 0;
  if (!snapshot_exists && founded) snapshot = {kFoundingIndex, kFoundingTerm, log->boot_};
  if (!replay.any && founded) replay.base = snapshot;
  log->last_index_ = replay.last_index();  // as the segments say; a snapshot may say otherwise below
  log->last_term_ = replay.last_term();
  Saved saved;
  STEPPE_CO_TRY(saved, reconcile(replay.base, replay.hard, std::move(replay.entries), snapshot));
  saved.snapshot_exists = snapshot_exists;
  log->adopt(saved);
  if (replay.unused != 0) remnants.push_back(replay.unused);
  STEPPE_CO_TRY_VOID(co_await log->clean_up(remnants));
  co_return Opened{std::move(log), std::move(saved), replay.torn};
}

void DiskLog::put(Record record) {
  record.batch = static_cast<uint32_t>(durable_end_);
  append_record(pending_, segments_.back().number, end_ + pending_.size(), record, settings_.seal);
}

io::Task<Result<>> DiskLog::make_file(std::string name) {
  auto opened = co_await directory_.open(name, io::OpenMode::kCreate);
  if (!opened.ok()) co_return std::move(opened).error();
  const std::unique_ptr<io::File> file = *std::move(opened);
  STEPPE_CO_TRY_VOID(co_await file->allocate(settings_.segment.count));
  // Zeros are written, not only reserved: an overwrite then changes no metadata.
  const std::string zeros(std::min<uint64_t>(kZeroChunk, settings_.segment.count), '\0');
  for (uint64_t at = 0; at < settings_.segment.count; at += zeros.size()) {
    const size_t count = std::min<uint64_t>(zeros.size(), settings_.segment.count - at);
    STEPPE_CO_TRY_VOID(co_await file->write_at(at, as_bytes(zeros).first(count)));
  }
  STEPPE_CO_TRY_VOID(co_await file->sync());
  co_return {};
}

io::Task<Result<>> DiskLog::prepare() {
  if (failed_ || !spares_.empty()) co_return {};
  const std::string name = spare_name(next_spare_++);
  const Result<> made = co_await make_file(name);
  if (!made.ok()) {
    (void)co_await directory_.remove(name);
    co_return Error(made.error()).wrap("prepare a log segment");
  }
  spares_.push_back(name);
  co_return {};
}

// Opens the next segment. Without space for it, nothing has changed.
io::Task<Result<>> DiskLog::roll() {
  if (spares_.empty()) STEPPE_CO_TRY_VOID(co_await prepare());
  const uint64_t number = segments_.empty() ? 1 : segments_.back().number + 1;
  const std::string spare = spares_.back();
  spares_.pop_back();
  auto opened = co_await directory_.open(spare, io::OpenMode::kReadWrite);
  if (!opened.ok()) co_return std::move(opened).error();
  std::unique_ptr<io::File> file = *std::move(opened);
  // A crash may have left it half made, and another setting too small. A log name has its full size.
  STEPPE_CO_TRY(const uint64_t size, co_await file->size());
  if (size < settings_.segment.count) STEPPE_CO_TRY_VOID(co_await file->allocate(settings_.segment.count));
  STEPPE_CO_TRY_VOID(co_await file->sync());
  STEPPE_CO_TRY_VOID(co_await directory_.rename(spare, segment_name(number)));
  STEPPE_CO_TRY_VOID(co_await directory_.sync());
  const SegmentHeader header{segments_.empty() ? 0 : durable_end_, settings_.segment.count, hard_, boot_};
  file_ = std::move(file);
  segments_.push_back({number, last_index_});
  end_ = durable_end_ = 0;
  put({.kind = RecordKind::kHeader, .index = last_index_, .term = last_term_, .payload = header.encode()});
  ++counters_.segments;
  co_return {};
}

void DiskLog::take_fitting(LogBatch& batch) {
  const auto reset_to = [this](const SnapshotPoint& point) {
    put({.kind = RecordKind::kReset, .index = point.index, .term = point.term});
    last_index_ = point.index;
    last_term_ = point.term;
  };
  if (reset_ && !batch.reset) reset_to(*reset_);
  reset_.reset();
  if (batch.reset) reset_to(*batch.reset);
  batch.reset.reset();
  // Before the entries: none may be durable of a term that is not. A commit index past them is cut at
  // recovery.
  if (batch.hard) {
    put({.kind = RecordKind::kHardState, .payload = encode_hard_state(*batch.hard)});
    hard_ = *batch.hard;
    batch.hard.reset();
  }
  size_t taken = 0;
  for (const Entry& entry : batch.entries) {
    if (record_size(entry.data.size()) + kRecordHeaderSize > room()) break;
    if (entry.index <= last_index_) put({.kind = RecordKind::kTruncate, .index = entry.index});
    put({.kind = RecordKind::kEntry, .type = entry.type, .index = entry.index, .term = entry.term, .payload = entry.data});
    last_index_ = entry.index;
    last_term_ = entry.term;
    ++taken;
  }
  counters_.entries += taken;
  batch.entries.erase(batch.entries.begin(), batch.entries.begin() + static_cast<ptrdiff_t>(taken));
}

io::Task<Result<>> DiskLog::write(LogBatch& batch) {
  if (failed_) co_return Error(Code::kIo, "the raft log failed earlier; its state on disk is unknown until the next start");
  while (!batch.empty()) {
    const size_t first = batch.entries.empty() ? 0 : record_size(batch.entries.front().data.size());
    constexpr size_t kBeside = 8 * kRecordHeaderSize;  // two resets, a hard state, a truncation
    if (!file_ || first + kBeside > room()) {
      const Result<> rolled = co_await roll();
      if (!rolled.ok()) {
        failed_ = rolled.error().code() != Code::kExhausted;
        co_return Error(rolled.error()).wrap("next raft log segment");
      }
    }
    failed_ = true;  // until these are durable; a failed write is never repeated
    take_fitting(batch);
    STEPPE_CO_TRY_VOID((co_await file_->write_and_sync(end_, as_bytes(pending_))).wrap("write the raft log"));
    failed_ = false;
    durable_end_ = end_ += pending_.size();
    marked_ = false;
    counters_.bytes += pending_.size();
    pending_.clear();
    ++counters_.syncs;
  }
  ++counters_.batches;
  co_return {};
}

io::Task<Result<>> DiskLog::compact(Index index) {
  while (segments_.size() >= 2 && segments_[1].previous_index <= index) {
    const std::string name = segment_name(segments_.front().number);
    if (spares_.size() < kMaxSpares) {
      const std::string spare = spare_name(next_spare_++);
      STEPPE_CO_TRY_VOID(co_await directory_.rename(name, spare));
      spares_.push_back(spare);
    } else {
      STEPPE_CO_TRY_VOID(co_await directory_.remove(name));
    }
    segments_.pop_front();
  }
  co_return {};
}

io::Task<Result<>> DiskLog::mark() {
  if (failed_ || marked_ || !file_ || room() < kRecordHeaderSize) co_return {};
  put({.kind = RecordKind::kDurable});
  failed_ = true;  // until it is written
  STEPPE_CO_TRY_VOID((co_await file_->write_at(end_, as_bytes(pending_))).wrap("mark the raft log"));
  failed_ = false;
  marked_ = true;
  end_ += pending_.size();
  pending_.clear();
  co_return {};
}

io::Task<Result<>> DiskLog::close() {
  if (failed_ || !file_ || room() < kRecordHeaderSize) co_return {};
  failed_ = true;  // nothing may follow
  put({.kind = RecordKind::kDurable});
  const Result<> written = co_await file_->write_and_sync(end_, as_bytes(pending_));
  file_.reset();
  co_return written;
}

}  // namespace steppe::raft
