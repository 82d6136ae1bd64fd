// raft_bench DIRECTORY: what a commit costs over one fdatasync of the same run, and how
// many fdatasyncs the log makes under load. Floor and ours take turns; medians of all rounds.
#include <algorithm>
#include <cstdio>
#include <format>
#include <optional>
#include <string>
#include <vector>

#include "agent/raft/node.h"
#include "bench/report/goal.h"
#include "bench/report/priority.h"
#include "init/io/epoll_loop.h"
#include "init/io/posix_disk.h"
#include "init/io/scope.h"

namespace {

using namespace steppe;

constexpr int kRounds = 60;  // short ones by turns: a disk's mood changes within a second
constexpr int kPerRound = 40;
constexpr int kOutstanding = 512;
constexpr int kLoadEntries = 51'200;
constexpr size_t kEntryBytes = 256;

struct NoNetwork final : raft::Transport {
  void send(raft::PeerId, std::string) override {}
};

struct Counter final : raft::StateMachine {
  void apply(std::span<const raft::Entry> committed) override { applied += committed.size(); }
  std::unique_ptr<raft::SnapshotSource> capture() override {
    struct Empty final : raft::SnapshotSource {
      io::Task<Result<std::string>> next() override { co_return std::string(); }
    };
    return std::make_unique<Empty>();
  }
  io::Task<Result<>> restore(raft::SnapshotSource&) override { co_return Result<>{}; }
  uint64_t applied = 0;
};

struct Series {
  std::vector<double> us;
  void take(const Series& round) { us.insert(us.end(), round.us.begin(), round.us.end()); }
  double at(double share) {
    std::ranges::sort(us);
    return us.empty() ? 0 : us[std::min(us.size() - 1, static_cast<size_t>(share * static_cast<double>(us.size())))];
  }
};

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

struct Outcome {
  std::vector<double> over_inline, over_pool;  // commit's median over the floor's, round by round
  Series floor_inline;  // pwrite + fdatasync of one record in a written file, on the calling thread
  Series floor_pool;    // the same through a pool thread
  Series commit;        // propose() of one entry on a quorum of one
  uint64_t commit_syncs = 0, commit_entries = 0;
  uint64_t load_syncs = 0, load_entries = 0;
  double load_seconds = 0;
};

double micros(Duration d) { return static_cast<double>(d.count()) / 1000.0; }

io::Task<Result<>> floor_round(io::Loop& loop, io::File& file, uint64_t& at, Series& series) {
  const std::string record(raft::record_size(kEntryBytes), 'x');
  for (int i = 0; i < kPerRound; ++i) {
    const MonoTime start = loop.now();
    STEPPE_CO_TRY_VOID(co_await file.write_and_sync(at, as_bytes(record)));
    series.us.push_back(micros(loop.now() - start));
    at = (at + record.size()) % (4 << 20);
  }
  co_return Result<>{};
}

io::Task<Result<>> commit_round(io::Loop& loop, raft::Node& node, Series& series) {
  for (int i = 0; i < kPerRound; ++i) {
    const MonoTime start = loop.now();
    STEPPE_CO_TRY_VOID(co_await node.propose(std::string(kEntryBytes, 'y')));
    series.us.push_back(micros(loop.now() - start));
  }
  co_return Result<>{};
}

io::Task<void> load_worker(raft::Node& node, int& left, bool& failed) {
  while (left > 0) {
    --left;
    const auto index = co_await node.propose(std::string(kEntryBytes, 'z'));
    if (!index.ok()) failed = true;
  }
}

io::Task<Result<std::unique_ptr<io::File>>> written_file(io::Directory& directory, std::string name) {
  auto opened = co_await directory.open(name, io::OpenMode::kCreate);
  if (!opened.ok()) co_return std::move(opened).error();
  STEPPE_CO_TRY_VOID(co_await (*opened)->allocate(8 << 20));
  const std::string zeros(1 << 20, '\0');
  for (uint64_t at = 0; at < (8 << 20); at += zeros.size()) STEPPE_CO_TRY_VOID(co_await (*opened)->write_at(at, as_bytes(zeros)));
  STEPPE_CO_TRY_VOID(co_await (*opened)->sync());
  co_return *std::move(opened);
}

io::Task<Result<>> measure(io::Loop& loop, io::Directory& inline_dir, io::Directory& pool_dir, raft::Node& node, Outcome& out) {
  STEPPE_CO_TRY_VOID(co_await node.start());
  while (!node.leadership().established) STEPPE_CO_TRY_VOID(co_await io::sleep_for(loop, std::chrono::milliseconds(5), {}));
  auto inline_file = co_await written_file(inline_dir, "floor-inline");
  if (!inline_file.ok()) co_return std::move(inline_file).error();
  auto pool_file = co_await written_file(pool_dir, "floor-pool");
  if (!pool_file.ok()) co_return std::move(pool_file).error();
  STEPPE_CO_TRY_VOID(co_await io::sleep_for(loop, std::chrono::milliseconds(300), {}));
  uint64_t inline_at = 0;
  uint64_t pool_at = 0;
  for (int round = 0; round < kRounds; ++round) {
    Series inline_round, round_commit, pool_round;
    STEPPE_CO_TRY_VOID(co_await floor_round(loop, **inline_file, inline_at, inline_round));
    const raft::LogStore::Counters before = node.metrics().log;
    STEPPE_CO_TRY_VOID(co_await commit_round(loop, node, round_commit));
    out.commit_syncs += node.metrics().log.syncs - before.syncs;
    out.commit_entries += node.metrics().log.entries - before.entries;
    STEPPE_CO_TRY_VOID(co_await floor_round(loop, **pool_file, pool_at, pool_round));
    out.over_inline.push_back(round_commit.at(0.5) / inline_round.at(0.5));
    out.over_pool.push_back(round_commit.at(0.5) / pool_round.at(0.5));
    out.floor_inline.take(inline_round);
    out.commit.take(round_commit);
    out.floor_pool.take(pool_round);
  }
  const raft::LogStore::Counters before = node.metrics().log;
  const MonoTime start = loop.now();
  int left = kLoadEntries;
  bool failed = false;
  io::Scope scope(loop);
  for (int i = 0; i < kOutstanding; ++i) scope.spawn(load_worker(node, left, failed));
  co_await scope.join();
  if (failed) co_return Error(Code::kIo, "a proposal of the load failed");
  out.load_seconds = micros(loop.now() - start) / 1e6;
  out.load_syncs = node.metrics().log.syncs - before.syncs;
  out.load_entries = node.metrics().log.entries - before.entries;
  co_return Result<>{};
}

io::Task<void> run_all(io::Loop& loop, io::Directory& inline_dir, io::Directory& pool_dir, raft::Node& node, Outcome& out, Result<>& result) {
  result = co_await measure(loop, inline_dir, pool_dir, node, out);
  co_await node.stop();
}

void print_table(Outcome& out) {
  const auto line = [](const char* what, Series& series) {
    std::printf("%-44s %9.1f %9.1f %9.1f\n", what, series.at(0.01), series.at(0.5), series.at(0.99));
  };
  std::printf("%-44s %9s %9s %9s\n", "microseconds", "p1", "p50", "p99");
  line("floor: one fdatasync, calling thread", out.floor_inline);
  line("floor: one fdatasync, pool thread", out.floor_pool);
  line("commit: propose of 256 B, quorum of one", out.commit);
}

std::vector<bench::Goal> judge(Outcome& out) {
  const auto us = [](double value) { return std::format("{:.0f} us", value); };
  const double commit = out.commit.at(0.5), floor = out.floor_inline.at(0.5);
  bench::Goal p50 = bench::at_most("log: p50 commit over one fdatasync", median(out.over_inline), 1.3);
  p50.ours = us(commit);
  p50.floor = us(floor);
  bench::Goal group = bench::at_least("log: entries for each fsync, 512 outstanding", static_cast<double>(out.load_entries) / static_cast<double>(out.load_syncs), 100);
  group.ours = std::format("{}/{}", out.load_entries, out.load_syncs);
  bench::Goal pool, rate;
  pool.name = "log: p50 commit over one fdatasync by a thread";
  pool.ours = us(commit);
  pool.floor = us(out.floor_pool.at(0.5));
  pool.ratio = std::format("{:.2f}", median(out.over_pool));
  rate.name = "log: entries a second, 512 outstanding";
  rate.ours = std::format("{:.0f}/s", static_cast<double>(out.load_entries) / out.load_seconds);
  return {p50, group, pool, rate};
}

int run_in(const std::string& path) {
  auto loop = io::EpollLoop::create(2);
  if (!loop.ok()) return std::fprintf(stderr, "raft_bench: %s\n", loop.error().message().c_str()), 1;
  auto inline_dir = io::open_posix_directory(**loop, path, io::DiskCalls::kInline);
  auto pool_dir = io::open_posix_directory(**loop, path, io::DiskCalls::kOnPool);
  auto log_dir = io::open_posix_directory(**loop, path + "/log", io::DiskCalls::kSyncWhileQuick);  // as the agent does
  if (!inline_dir.ok() || !pool_dir.ok() || !log_dir.ok()) return std::fprintf(stderr, "raft_bench: cannot use %s\n", path.c_str()), 1;
  NoNetwork network;
  Counter machine;
  raft::Node node({.loop = **loop, .rng = io::system_rng(), .directory = **log_dir, .transport = network, .machine = machine},
                  {.id = 1, .boot = {1}, .snapshot_entries = UINT64_MAX, .snapshot_bytes = Bytes::gib(64)});
  Outcome out;
  Result<> result;
  io::start_root(**loop, run_all(**loop, **inline_dir, **pool_dir, node, out, result), [&loop] { (*loop)->stop(); });
  (*loop)->run();
  if (!result.ok()) return std::fprintf(stderr, "raft_bench: %s\n", result.error().message().c_str()), 1;
  print_table(out);
  return bench::report("raft", judge(out)) ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return std::fprintf(stderr, "usage: raft_bench DIRECTORY   (an absolute path on the disk to measure)\n"), 2;
  std::printf("%s\n", bench::run_ahead() ? "under SCHED_FIFO" : "under the ordinary scheduler");
  return run_in(argv[1]);
}
