#include "agent/raft/node.h"

#include <gtest/gtest.h>

#include "init/io/scope.h"
#include "tests/sim/raft_cluster.h"

namespace steppe::raft {
namespace {

struct NoNetwork final : Transport {
  void send(PeerId, std::string) override { ++sent; }
  int sent = 0;
};

// One member on a simulated disk, started by hand.
struct Solo {
  explicit Solo(uint64_t seed = 1) : rng(seed), loop(rng), disk(loop, rng) {}

  template <class T>
  T run(io::Task<T> task) {
    std::optional<T> value;
    auto wrap = [](io::Task<T> inner, std::optional<T>& out) -> io::Task<void> { out.emplace(co_await std::move(inner)); };
    io::start_root(loop, wrap(std::move(task), value), [] {});
    loop.run_until([&] { return value.has_value(); }, std::chrono::minutes(5));
    EXPECT_TRUE(value.has_value());
    return *std::move(value);
  }
  Result<> start() {
    directory = disk.mount();
    machine = std::make_unique<sim::LedgerMachine>([this](const Entry&) { ++applies; });
    Node::Parts parts{.loop = loop, .rng = rng, .directory = *directory, .transport = network, .machine = *machine};
    parts.on_leadership = [this](const Leadership& now) { leaderships.push_back(now); };
    parts.on_failure = [this](const Error& error) { failure = error.message(); };
    node = std::make_unique<Node>(std::move(parts), settings);
    return run(node->start());
  }
  void stop() {
    bool done = false;
    io::start_root(loop, node->stop(), [&done] { done = true; });
    EXPECT_TRUE(loop.run_until([&] { return done; }, std::chrono::minutes(1)));
  }
  static std::string write_of(uint64_t id, size_t size = 100) {
    std::string data(size, 'x');
    store_le(data.data(), id);
    return data;
  }

  SeededRng rng;
  sim::SimLoop loop;
  sim::SimDisk disk;
  NoNetwork network;
  NodeSettings settings{.id = 1, .boot = {1}, .segment = {64 << 10}, .max_entry = {32 << 10}};
  std::unique_ptr<io::Directory> directory;
  std::unique_ptr<sim::LedgerMachine> machine;
  std::unique_ptr<Node> node;
  std::vector<Leadership> leaderships;
  std::string failure;
  int applies = 0;
};

TEST(Node, AQuorumOfOneCommitsWithOneSyncAndTellsItLeads) {
  Solo solo;
  ASSERT_TRUE(solo.start().ok());
  ASSERT_TRUE(solo.loop.run_until([&] { return solo.node->leadership().established; }, std::chrono::seconds(5)));
  solo.loop.run_for(std::chrono::seconds(1));
  const uint64_t syncs = solo.disk.syncs();
  const auto index = solo.run(solo.node->propose(Solo::write_of(7)));
  ASSERT_TRUE(index.ok()) << index.error().message();
  EXPECT_EQ(*index, 3u);  // after the founding and the leader's own entry
  EXPECT_TRUE(solo.machine->seen().contains(7));
  EXPECT_EQ(solo.disk.syncs() - syncs, 1u);
  EXPECT_EQ(solo.leaderships.back().leader, 1u);
  const auto read = solo.run(solo.node->barrier());
  ASSERT_TRUE(read.ok()) << read.error().message();
  EXPECT_GE(*read, 3u);
  solo.stop();
  EXPECT_EQ(solo.network.sent, 0);
}

TEST(Node, OutstandingWritesShareASync) {
  Solo solo;
  ASSERT_TRUE(solo.start().ok());
  ASSERT_TRUE(solo.loop.run_until([&] { return solo.node->leadership().established; }, std::chrono::seconds(5)));
  solo.loop.run_for(std::chrono::seconds(1));
  const uint64_t syncs = solo.disk.syncs();
  int done = 0;
  io::Scope scope(solo.loop);
  auto write = [](Node& node, uint64_t id, int& count) -> io::Task<void> {
    const auto index = co_await node.propose(Solo::write_of(id, 40));
    EXPECT_TRUE(index.ok());
    ++count;
  };
  for (uint64_t id = 1; id <= 512; ++id) scope.spawn(write(*solo.node, id, done));
  ASSERT_TRUE(solo.loop.run_until([&] { return done == 512; }, std::chrono::seconds(30)));
  EXPECT_LE(solo.disk.syncs() - syncs, 5u);  // a roll of the segment has its own
  EXPECT_EQ(solo.applies, 512);
  EXPECT_TRUE(solo.loop.run_until([&] { return scope.running() == 0; }, std::chrono::seconds(1)));
  solo.stop();
}

TEST(Node, RestartRestoresSnapshotAndLog) {
  Solo solo;
  solo.settings.snapshot_entries = 50;
  solo.settings.keep_entries = 5;
  ASSERT_TRUE(solo.start().ok());
  ASSERT_TRUE(solo.loop.run_until([&] { return solo.node->leadership().established; }, std::chrono::seconds(5)));
  for (uint64_t id = 1; id <= 333; ++id) ASSERT_TRUE(solo.run(solo.node->propose(Solo::write_of(id, 900))).ok());
  const uint32_t hash = solo.machine->hash();
  EXPECT_GT(solo.node->metrics().snapshots_taken, 2u);
  solo.stop();
  EXPECT_LE(solo.disk.files().size(), 7u);
  solo.applies = 0;
  ASSERT_TRUE(solo.start().ok());
  ASSERT_TRUE(solo.loop.run_until([&] { return solo.node->leadership().established; }, std::chrono::seconds(5)));
  EXPECT_EQ(solo.machine->hash(), hash);
  EXPECT_EQ(solo.machine->seen().size(), 333u);
  EXPECT_LT(solo.applies, 100);
  solo.stop();
}

TEST(Node, BadProposalsGetClearErrors) {
  Solo solo;
  ASSERT_TRUE(solo.start().ok());
  ASSERT_TRUE(solo.loop.run_until([&] { return solo.node->leadership().established; }, std::chrono::seconds(5)));
  EXPECT_EQ(solo.run(solo.node->propose("")).error().code(), Code::kInvalid);
  const auto big = solo.run(solo.node->propose(std::string(40 << 10, 'x')));
  EXPECT_EQ(big.error().code(), Code::kInvalid);
  EXPECT_NE(big.error().message().find("40960 bytes"), std::string::npos) << big.error().message();
  solo.stop();
  EXPECT_EQ(solo.run(solo.node->propose("x")).error().code(), Code::kUnavailable);
}

TEST(Node, AFailedDiskStopsTheNodeAndNothingIsAcknowledged) {
  Solo solo;
  ASSERT_TRUE(solo.start().ok());
  ASSERT_TRUE(solo.loop.run_until([&] { return solo.node->leadership().established; }, std::chrono::seconds(5)));
  solo.disk.faults.sync_error_per_million = 1'000'000;
  const auto index = solo.run(solo.node->propose(Solo::write_of(1)));
  ASSERT_FALSE(index.ok());
  EXPECT_EQ(index.error().code(), Code::kUnavailable);
  EXPECT_TRUE(solo.node->failed());
  EXPECT_FALSE(solo.failure.empty());
  EXPECT_NE(solo.leaderships.back().role, Role::kLeader);
  solo.stop();
}

TEST(Node, AFullDiskDelaysWritesUntilThereIsSpace) {
  Solo solo;
  ASSERT_TRUE(solo.start().ok());
  ASSERT_TRUE(solo.loop.run_until([&] { return solo.node->leadership().established; }, std::chrono::seconds(5)));
  solo.loop.run_for(std::chrono::seconds(1));
  solo.disk.faults.capacity = 1;
  uint64_t id = 0;
  while (solo.run(solo.node->propose(Solo::write_of(++id, 20'000), io::Deadline::in(solo.loop, std::chrono::seconds(3)))).ok()) ASSERT_LT(id, 50u);
  EXPECT_FALSE(solo.node->failed());
  const auto refused = solo.run(solo.node->propose(Solo::write_of(id + 1), {}, Node::OnFullDisk::kRefuse));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), Code::kExhausted);
  EXPECT_NE(refused.error().message().find("no space for the raft log"), std::string::npos) << refused.error().message();
  solo.disk.faults.capacity = UINT64_MAX;
  const auto after = solo.run(solo.node->propose(Solo::write_of(++id)));
  EXPECT_TRUE(after.ok());
  EXPECT_EQ(solo.machine->seen().size(), id);
  solo.stop();
}

TEST(Node, WhoMeetsTheFullDiskHearsOfItAtOnce) {
  Solo solo;
  ASSERT_TRUE(solo.start().ok());
  ASSERT_TRUE(solo.loop.run_until([&] { return solo.node->leadership().established; }, std::chrono::seconds(5)));
  solo.loop.run_for(std::chrono::seconds(1));
  solo.disk.faults.capacity = 1;
  uint64_t id = 0;
  Result<Index> last = Index{0};
  while (last.ok() && id < 50) last = solo.run(solo.node->propose(Solo::write_of(++id, 20'000), io::Deadline::in(solo.loop, std::chrono::hours(1)), Node::OnFullDisk::kRefuse));
  ASSERT_FALSE(last.ok());
  EXPECT_EQ(last.error().code(), Code::kExhausted);
  solo.disk.faults.capacity = UINT64_MAX;
  solo.loop.run_for(std::chrono::seconds(5));
  EXPECT_TRUE(solo.run(solo.node->propose(Solo::write_of(++id), {}, Node::OnFullDisk::kRefuse)).ok());
  EXPECT_EQ(solo.machine->seen().size(), id) << "what met the full disk was committed when there was space";
  solo.stop();
}

TEST(Node, DamageIsRefusedWithAdvice) {
  Solo solo;
  ASSERT_TRUE(solo.start().ok());
  ASSERT_TRUE(solo.loop.run_until([&] { return solo.node->leadership().established; }, std::chrono::seconds(5)));
  for (uint64_t id = 1; id <= 10; ++id) ASSERT_TRUE(solo.run(solo.node->propose(Solo::write_of(id))).ok());
  solo.stop();
  solo.disk.files()["log-0000000000000001.seg"]->content[300] ^= 4;
  const Result<> started = solo.start();
  ASSERT_FALSE(started.ok());
  EXPECT_EQ(started.error().code(), Code::kCorrupt);
  EXPECT_NE(started.error().message().find("empty data directory"), std::string::npos);
}

TEST(Node, BytesFromPeersMayBeAnything) {
  Solo solo;
  solo.settings.boot = {1, 2, 3};
  ASSERT_TRUE(solo.start().ok());
  for (int i = 0; i < 3000; ++i) {
    std::string noise(solo.rng.below(80), '\0');
    for (char& c : noise) c = static_cast<char>(solo.rng.next());
    if (!noise.empty()) noise[0] = static_cast<char>(solo.rng.below(4));
    solo.node->receive(solo.rng.below(4), noise);
    if (i % 50 == 0) solo.loop.run_for(std::chrono::milliseconds(10));
  }
  EXPECT_GT(solo.node->metrics().refused_messages, 100u);
  EXPECT_FALSE(solo.node->failed());
  solo.stop();
}

}  // namespace
}  // namespace steppe::raft
