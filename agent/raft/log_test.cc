#include "agent/raft/log.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <optional>

#include "agent/raft/engine.h"
#include "agent/raft/snapshot.h"
#include "init/base/rng.h"
#include "init/io/scope.h"
#include "tests/sim/sim_disk.h"

namespace steppe::raft {
namespace {

constexpr uint64_t kSegment = 16 << 10;
const ConfState kBoot{.voters = {1, 2, 3}};

struct Bench {
  explicit Bench(uint64_t seed) : rng(seed), loop(rng), disk(loop, rng) {}

  template <class T>
  T run(io::Task<T> task) {
    std::optional<T> value;
    auto wrap = [](io::Task<T> inner, std::optional<T>& out) -> io::Task<void> { out.emplace(co_await std::move(inner)); };
    io::start_root(loop, wrap(std::move(task), value), [] {});
    loop.run_until([&] { return value.has_value(); }, std::chrono::hours(1));
    EXPECT_TRUE(value.has_value());
    return *std::move(value);
  }
  Result<DiskLog::Opened> open(SnapshotPoint snapshot = {}) {
    directory = disk.mount();
    DiskLog::Settings settings{.segment = {segment}, .max_entry = {segment == kSegment ? 8192u : 0u}};
    settings.seal = seal;
    return run(DiskLog::open(*directory, settings, std::move(snapshot), boot));
  }
  Result<> write(LogStore& log, LogBatch batch) { return run(log.write(batch)); }

  uint64_t segment = kSegment;
  SealFn seal = &position_seal;
  ConfState boot;  // empty: a member that joins, whose log begins with entry 1
  SeededRng rng;
  sim::SimLoop loop;
  sim::SimDisk disk;
  std::unique_ptr<io::Directory> directory;
};

Entry entry(Index index, Term term, std::string data) { return {index, term, EntryType::kNormal, std::move(data)}; }

LogBatch batch_of(std::vector<Entry> entries, std::optional<HardState> hard = {}) {
  LogBatch batch;
  batch.entries = std::move(entries);
  batch.hard = hard;
  return batch;
}

// Ten batches of five entries, filling several segments.
std::vector<Entry> fill(Bench& bench, LogStore& log, size_t size = 700) {
  std::vector<Entry> all;
  for (int b = 0; b < 10; ++b) {
    std::vector<Entry> entries;
    for (int i = 0; i < 5; ++i) entries.push_back(entry(all.size() + entries.size() + 1, 1 + b / 4, std::string(size, static_cast<char>('a' + b))));
    all.insert(all.end(), entries.begin(), entries.end());
    EXPECT_TRUE(bench.write(log, batch_of(entries, HardState{static_cast<Term>(1 + b / 4), 2, all.size() - 5})).ok());
  }
  return all;
}

TEST(DiskLog, AGroupIsFoundedAsIfByASnapshot) {
  Bench bench(1);
  bench.boot = kBoot;
  const SnapshotPoint founding{kFoundingIndex, kFoundingTerm, kBoot};
  for (int life = 0; life < 3; ++life) {
    auto opened = bench.open();
    ASSERT_TRUE(opened.ok()) << opened.error().message();
    EXPECT_EQ(opened->saved.snapshot, founding);
    EXPECT_FALSE(opened->saved.snapshot_exists);
    EXPECT_EQ(opened->saved.entries.size(), static_cast<size_t>(life));
    EXPECT_FALSE(opened->torn);
    ASSERT_TRUE(bench.write(*opened->log, batch_of({entry(2 + static_cast<Index>(life), 2, "x")}, HardState{2, 1, 1})).ok());
    bench.boot = {};  // remembered, whatever the settings say later
  }
  Bench joiner(1);
  auto opened = joiner.open();
  ASSERT_TRUE(opened.ok()) << opened.error().message();
  EXPECT_EQ(opened->saved.snapshot, SnapshotPoint{});
}

TEST(DiskLog, GivesBackWhatWasWritten) {
  Bench bench(2);
  auto opened = bench.open();
  const std::vector<Entry> all = fill(bench, *opened->log);
  EXPECT_GT(opened->log->counters().segments, 2u);
  auto again = bench.open();
  ASSERT_TRUE(again.ok()) << again.error().message();
  EXPECT_EQ(again->saved.entries, all);
  EXPECT_EQ(again->saved.hard, (HardState{3, 2, 45}));
}

TEST(DiskLog, OneSyncPerBatch) {
  Bench bench(3);
  auto opened = bench.open();
  ASSERT_TRUE(bench.write(*opened->log, batch_of({entry(1, 1, "x")})).ok());
  const uint64_t before = bench.disk.syncs();
  std::vector<Entry> many;
  for (Index i = 2; i <= 100; ++i) many.push_back(entry(i, 1, "y"));
  ASSERT_TRUE(bench.write(*opened->log, batch_of(many)).ok());
  EXPECT_EQ(bench.disk.syncs() - before, 1u);
}

TEST(DiskLog, OverwritingDropsTheSuffix) {
  Bench bench(4);
  auto opened = bench.open();
  fill(bench, *opened->log);
  ASSERT_TRUE(bench.write(*opened->log, batch_of({entry(30, 7, "new"), entry(31, 7, "newer")}, HardState{7, 1, 29})).ok());
  auto again = bench.open();
  ASSERT_TRUE(again.ok()) << again.error().message();
  ASSERT_EQ(again->saved.entries.size(), 31u);
  EXPECT_EQ(again->saved.entries[29], entry(30, 7, "new"));
  EXPECT_EQ(again->saved.entries[28].term, 2u);
}

TEST(DiskLog, CompactionDeletesWholeSegmentsAndReusesTheirFiles) {
  Bench bench(5);
  auto opened = bench.open();
  std::vector<Entry> all = fill(bench, *opened->log);
  const size_t files = bench.disk.files().size();
  ASSERT_TRUE(bench.run(opened->log->compact(40)).ok());
  const SnapshotPoint point{40, 2, kBoot};
  for (int round = 0; round < 5; ++round) {
    const Index last = all.back().index;
    std::vector<Entry> more;
    for (Index i = 1; i <= 10; ++i) more.push_back(entry(last + i, 3, std::string(700, 'z')));
    ASSERT_TRUE(bench.write(*opened->log, batch_of(more)).ok());
    all.insert(all.end(), more.begin(), more.end());
  }
  EXPECT_LE(bench.disk.files().size(), files + 3);
  auto again = bench.open(point);
  ASSERT_TRUE(again.ok()) << again.error().message();
  EXPECT_EQ(again->saved.entries, std::vector<Entry>(all.begin() + 40, all.end()));
  // Without the snapshot the entries before it are missing: refused.
  auto without = bench.open();
  ASSERT_FALSE(without.ok());
  EXPECT_EQ(without.error().code(), Code::kCorrupt);
}

TEST(DiskLog, ASnapshotFromTheLeaderReplacesTheLog) {
  Bench bench(6);
  auto opened = bench.open();
  fill(bench, *opened->log);
  const SnapshotPoint point{90, 5, kBoot};
  LogBatch batch;
  batch.reset = point;
  batch.hard = HardState{5, 0, 90};
  ASSERT_TRUE(bench.write(*opened->log, std::move(batch)).ok());
  ASSERT_TRUE(bench.write(*opened->log, batch_of({entry(91, 5, "after")})).ok());
  auto again = bench.open(point);
  ASSERT_TRUE(again.ok()) << again.error().message();
  EXPECT_EQ(again->saved.entries, std::vector<Entry>{entry(91, 5, "after")});
  // A crash between the snapshot's rename and the reset record: the same snapshot, the old log.
  Bench other(6);
  auto old = other.open();
  fill(other, *old->log);
  auto replaced = other.open(point);
  ASSERT_TRUE(replaced.ok());
  EXPECT_TRUE(replaced->saved.entries.empty());
  EXPECT_EQ(replaced->saved.hard.term, 5u);
  ASSERT_TRUE(other.write(*replaced->log, batch_of({entry(91, 5, "after")}, HardState{5, 0, 90})).ok());
  auto last = other.open(point);
  ASSERT_TRUE(last.ok()) << last.error().message();
  EXPECT_EQ(last->saved.entries, std::vector<Entry>{entry(91, 5, "after")});
}

TEST(DiskLog, TruncationBelowACompactedSegment) {
  Bench bench(7);
  auto opened = bench.open();
  std::vector<Entry> all = fill(bench, *opened->log);
  // Fill the segment so that the overwrite begins the next one, then compact past the old suffix.
  while (opened->log->counters().segments < 5) {
    all.push_back(entry(all.size() + 1, 3, std::string(3000, 'f')));
    ASSERT_TRUE(bench.write(*opened->log, batch_of({all.back()})).ok());
  }
  const Index cut = all.size() - 3;
  std::vector<Entry> more;
  for (Index i = cut; i < cut + 10; ++i) more.push_back(entry(i, 9, std::string(3000, 'g')));
  ASSERT_TRUE(bench.write(*opened->log, batch_of(more, HardState{9, 1, cut + 9})).ok());
  ASSERT_TRUE(bench.run(opened->log->compact(cut + 8)).ok());
  auto again = bench.open({cut + 8, 9, kBoot});
  ASSERT_TRUE(again.ok()) << again.error().message();
  EXPECT_EQ(again->saved.entries, std::vector<Entry>{more.back()});
}

TEST(DiskLog, NoSpaceForTheNextSegmentHarmsNothingAndMayBeTriedAgain) {
  Bench bench(8);
  auto opened = bench.open();
  ASSERT_TRUE(bench.write(*opened->log, batch_of({entry(1, 1, "x")})).ok());
  bench.disk.faults.capacity = kSegment + 100;
  LogBatch big;
  for (Index i = 2; i <= 6; ++i) big.entries.push_back(entry(i, 1, std::string(5000, 'x')));
  const Result<> full = bench.run(opened->log->write(big));
  ASSERT_FALSE(full.ok());
  EXPECT_EQ(full.error().code(), Code::kExhausted);
  EXPECT_FALSE(big.empty());
  bench.disk.faults.capacity = UINT64_MAX;
  ASSERT_TRUE(bench.run(opened->log->write(big)).ok());
  auto again = bench.open();
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->saved.entries.size(), 6u);
}

TEST(DiskLog, AFailedSyncIsNeverRepeated) {
  Bench bench(9);
  auto opened = bench.open();
  ASSERT_TRUE(bench.write(*opened->log, batch_of({entry(1, 1, "x")})).ok());
  bench.disk.faults.sync_error_per_million = 1'000'000;
  EXPECT_FALSE(bench.write(*opened->log, batch_of({entry(2, 1, "y")})).ok());
  bench.disk.faults.sync_error_per_million = 0;
  EXPECT_FALSE(bench.write(*opened->log, batch_of({entry(2, 1, "y")})).ok());
}

// What the log must say whatever happened to its bytes: all of it, or that it is damaged.
enum class Verdict : uint8_t { kWhole, kRefused, kSilentLoss };
Verdict judge(Bench& bench, const std::vector<Entry>& all) {
  auto opened = bench.open();
  if (!opened.ok()) return opened.error().code() == Code::kCorrupt || opened.error().code() == Code::kUnsupported ? Verdict::kRefused : Verdict::kSilentLoss;
  return opened->saved.entries == all ? Verdict::kWhole : Verdict::kSilentLoss;
}

struct Sweep {
  int whole = 0, refused = 0, silent = 0;
};
Sweep flip_bits(SealFn seal, uint64_t step) {
  Bench bench(10);
  bench.seal = seal;
  auto opened = bench.open();
  const std::vector<Entry> all = fill(bench, *opened->log, 200);
  EXPECT_TRUE(bench.run(opened->log->close()).ok());
  Sweep sweep;
  for (const auto& [name, inode] : std::map(bench.disk.files())) {
    for (uint64_t at = 0; at < inode->content.size(); at += step) {
      Bench hurt(11);
      hurt.seal = seal;
      hurt.disk.copy_from(bench.disk);
      hurt.disk.files()[name]->content[at] ^= static_cast<char>(1 << (at / step % 8));
      const Verdict verdict = judge(hurt, all);
      (verdict == Verdict::kWhole ? sweep.whole : verdict == Verdict::kRefused ? sweep.refused : sweep.silent)++;
      if (verdict == Verdict::kSilentLoss && seal == &position_seal) ADD_FAILURE() << name << " byte " << at;
    }
  }
  return sweep;
}

TEST(DiskLog, EveryFlippedBitIsHarmlessOrRefused) {
  const Sweep sweep = flip_bits(&position_seal, 13);
  EXPECT_EQ(sweep.silent, 0);
  EXPECT_GT(sweep.refused, 500);
  EXPECT_GT(sweep.whole, 100);  // in unused space
}

// Mutant: a checksum over the record's head only.
uint32_t head_seal(uint64_t segment, uint64_t offset, std::string_view record) {
  return position_seal(segment, offset, record.substr(0, kRecordHeaderSize - 4));
}
TEST(DiskLog, AWrongChecksumScopeIsFoundByTheSweep) { EXPECT_GT(flip_bits(&head_seal, 13).silent, 0); }

// The last batch before a power cut looks like a cut write when it is changed, unless a mark follows it.
TEST(DiskLog, AMarkProvesTheLastBatchWithoutASync) {
  for (const bool marked : {false, true}) {
    Bench bench(23);
    auto opened = bench.open();
    const std::vector<Entry> all = fill(bench, *opened->log);
    const uint64_t syncs = bench.disk.syncs();
    if (marked) {
      ASSERT_TRUE(bench.run(opened->log->mark()).ok());
      ASSERT_TRUE(bench.run(opened->log->mark()).ok());  // once is enough
    }
    EXPECT_EQ(bench.disk.syncs(), syncs);
    const auto& [name, inode] = *std::prev(bench.disk.files().lower_bound("spare"));
    const size_t at = inode->content.find_last_of('j');  // the last batch is made of 'j'
    ASSERT_NE(at, std::string::npos) << name;
    inode->content[at] = 'k';
    EXPECT_EQ(judge(bench, all), marked ? Verdict::kRefused : Verdict::kSilentLoss);
  }
}

TEST(DiskLog, WritesGoOnAfterAMark) {
  Bench bench(24);
  auto opened = bench.open();
  std::vector<Entry> all;
  for (Index i = 1; i <= 120; ++i) {
    all.push_back(entry(i, 1, std::string(700, 'm')));
    ASSERT_TRUE(bench.write(*opened->log, batch_of({all.back()}, HardState{1, 1, i - 1})).ok());
    ASSERT_TRUE(bench.run(opened->log->mark()).ok());
  }
  EXPECT_GT(opened->log->counters().segments, 4u);
  EXPECT_EQ(judge(bench, all), Verdict::kWhole);
}

TEST(DiskLog, EveryCutLengthIsHarmlessOrRefused) {
  Bench bench(12);
  auto opened = bench.open();
  const std::vector<Entry> all = fill(bench, *opened->log, 200);
  ASSERT_TRUE(bench.run(opened->log->close()).ok());
  for (const auto& [name, inode] : std::map(bench.disk.files())) {
    for (uint64_t size = 0; size < inode->content.size(); size += 97) {
      Bench hurt(13);
      hurt.disk.copy_from(bench.disk);
      hurt.disk.files()[name]->content.resize(size);
      EXPECT_NE(judge(hurt, all), Verdict::kSilentLoss) << name << " cut at " << size;
    }
  }
}

// What version 1 wrote, as committed with it: later versions must read it. STEPPE_WRITE_FIXTURES makes it anew.
constexpr const char* kFixtures[][2] = {{"tests/data/raft/log-v1.seg", "log-0000000000000001.seg"},
                                        {"tests/data/raft/snapshot-v1", "snap-0000000000000003-0000000000000002"}};

void write_fixtures() {
  Bench bench(21);
  bench.boot = kBoot;
  bench.segment = kMinSegmentSize;
  auto opened = bench.open();
  ASSERT_TRUE(bench.write(*opened->log, batch_of({entry(2, 2, ""), entry(3, 2, "first")}, HardState{2, 1, 1})).ok());
  ASSERT_TRUE(bench.write(*opened->log, batch_of({entry(4, 2, "lost"), entry(5, 2, "too")}, HardState{2, 1, 3})).ok());
  Entry change = entry(4, 3, std::string("\x12\x04\x08\x02\x10\x04", 6));  // ConfChangeV2 {add learner 4}
  change.type = EntryType::kConfChangeV2;
  ASSERT_TRUE(bench.write(*opened->log, batch_of({change}, HardState{3, 2, 3})).ok());
  ASSERT_TRUE(bench.run(opened->log->close()).ok());
  auto writer = bench.run(SnapshotWriter::create(*bench.directory, "snapshot.part", {3, 2, kBoot}));
  ASSERT_TRUE(bench.run((*writer)->write("state up to entry 3")).ok());
  ASSERT_TRUE(bench.run((*writer)->finish()).ok());
  for (const auto& [path, name] : kFixtures) std::ofstream(path, std::ios::binary) << bench.disk.files().at(name)->content;
}

TEST(DiskLog, ReadsWhatVersionOneWrote) {
  if (std::getenv("STEPPE_WRITE_FIXTURES") != nullptr) write_fixtures();
  Bench bench(22);
  for (const auto& [path, name] : kFixtures) {
    std::ifstream file(path, std::ios::binary);
    ASSERT_TRUE(file) << path << ": run from the top of the source tree";
    auto inode = std::make_shared<sim::SimInode>();
    inode->content.assign(std::istreambuf_iterator<char>(file), {});
    inode->durable = inode->content;
    bench.disk.files()[name] = inode;
  }
  bench.segment = kMinSegmentSize;
  bench.directory = bench.disk.mount();
  const auto point = bench.run(find_newest_snapshot(*bench.directory));
  ASSERT_TRUE(point.ok()) << point.error().message();
  EXPECT_EQ(*point, (SnapshotPoint{3, 2, kBoot}));
  auto reader = bench.run(SnapshotReader::open(*bench.directory, kFixtures[1][1]));
  EXPECT_EQ(bench.run((*reader)->next()).value_or(""), "state up to entry 3");
  auto opened = bench.open(*point);
  ASSERT_TRUE(opened.ok()) << opened.error().message();
  ASSERT_EQ(opened->saved.entries.size(), 1u);
  EXPECT_EQ(opened->saved.entries[0].term, 3u);
  const auto change = decode_conf_change(opened->saved.entries[0]);
  ASSERT_TRUE(change.ok());
  ASSERT_EQ(change->changes.size(), 1u);
  EXPECT_EQ(change->changes[0].peer, 4u);
  EXPECT_EQ(opened->saved.hard, (HardState{3, 2, 3}));
}

// A record that a disk wrote to another place of the same kind, or that a recycled file still holds.
Verdict swap_segments(SealFn seal) {
  Bench bench(14);
  bench.seal = seal;
  auto opened = bench.open();
  const std::vector<Entry> all = fill(bench, *opened->log);
  EXPECT_TRUE(bench.run(opened->log->close()).ok());
  auto& files = bench.disk.files();
  std::string& first = files["log-0000000000000001.seg"]->content;
  std::string& second = files["log-0000000000000002.seg"]->content;
  std::string& third = files["log-0000000000000003.seg"]->content;
  EXPECT_FALSE(first.empty() || second.empty() || third.empty());
  second.replace(512, 2048, third.substr(512, 2048));
  return judge(bench, all);
}
TEST(DiskLog, MisdirectedWritesAreRefused) { EXPECT_EQ(swap_segments(&position_seal), Verdict::kRefused); }

TEST(DiskLog, AMissingSegmentIsRefused) {
  for (const char* name : {"log-0000000000000001.seg", "log-0000000000000002.seg"}) {
    Bench bench(15);
    auto opened = bench.open();
    const std::vector<Entry> all = fill(bench, *opened->log);
    bench.disk.files().erase(name);
    EXPECT_EQ(judge(bench, all), Verdict::kRefused) << name;
  }
}

// The power goes at a random operation, again and again: every acknowledged entry is there, and what is
// there beyond them was at least written.
struct Acked {
  std::vector<Entry> entries;    // acknowledged
  std::vector<Entry> attempted;  // acknowledged and the batch in flight
};
io::Task<void> writer(LogStore& log, Acked& acked, Rng& rng, bool& alive) {
  while (alive) {
    LogBatch batch;
    acked.attempted = acked.entries;
    if (acked.entries.size() > 3 && rng.chance(1, 8)) acked.attempted.resize(acked.entries.size() - rng.below(3));
    const Term term = (acked.entries.empty() ? 1 : acked.entries.back().term) + (acked.attempted.size() < acked.entries.size() ? 1 : 0);
    for (uint64_t i = 1 + rng.below(6); i > 0; --i) {
      acked.attempted.push_back(entry(acked.attempted.size() + 1, term, std::string(rng.below(1500), static_cast<char>(rng.next()))));
      batch.entries.push_back(acked.attempted.back());
    }
    batch.hard = HardState{term, 1, 0};
    const Result<> done = co_await log.write(batch);
    if (!done.ok()) co_return;
    acked.entries = acked.attempted;
    if (!rng.chance(1, 2)) continue;
    const Result<> marked = co_await log.mark();
    if (!marked.ok()) co_return;
  }
}

// Cuts the truncation case short: with an overwrite in flight the old suffix may be there or not.
bool holds(const std::vector<Entry>& found, const Acked& acked) {
  const auto is_prefix = [](const std::vector<Entry>& part, const std::vector<Entry>& whole) {
    return part.size() <= whole.size() && std::equal(part.begin(), part.end(), whole.begin());
  };
  if (is_prefix(acked.entries, found)) return is_prefix(found, acked.attempted) || found == acked.entries;
  return is_prefix(found, acked.attempted) && !is_prefix(acked.entries, acked.attempted);
}

TEST(DiskLog, PowerCutsLoseNothingAcknowledged) {
  int torn = 0;
  for (uint64_t seed = 1; seed <= 150; ++seed) {
    Bench bench(seed);
    Acked acked;
    bool alive = true;
    for (int life = 0; life < 6; ++life) {
      auto opened = bench.open();
      ASSERT_TRUE(opened.ok()) << "seed " << seed << " life " << life << ": " << opened.error().message();
      torn += opened->torn ? 1 : 0;
      ASSERT_TRUE(holds(opened->saved.entries, acked)) << "seed " << seed << " life " << life << ": " << opened->saved.entries.size()
                                                       << " found, " << acked.entries.size() << " acknowledged";
      acked.entries = opened->saved.entries;
      bool ended = false;
      io::start_root(bench.loop, writer(*opened->log, acked, bench.rng, alive), [&ended] { ended = true; });
      bench.loop.run_for(std::chrono::microseconds(bench.rng.below(40'000)));
      bench.disk.crash();
      ASSERT_TRUE(bench.loop.run_until([&] { return ended; }, std::chrono::seconds(10)));
    }
  }
  EXPECT_GT(torn, 100);
}

}  // namespace
}  // namespace steppe::raft
