#include "agent/client/state_recovery.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>

#include "agent/client/client_test_world.h"
#include "init/base/rng.h"
#include "init/frame/frame.h"
#include "init/io/posix_child.h"

namespace steppe::client::test {
namespace {

namespace fs = std::filesystem;

constexpr size_t kAllocs = 60;

StoredTask make_task(const std::string& name, uint64_t attempt) {
  StoredTask out;
  out.name = name;
  out.snapshot.phase = TaskPhase::kStopping;
  out.snapshot.asked = {.kill = true, .no_delay = true};
  out.snapshot.attempt = attempt;
  out.snapshot.restart_memory = {2, {77}};
  out.snapshot.events.push_back(event::terminated(3, 0, true, "x"));
  out.handle = drivers::TaskHandle{.driver = "fake", .id = "i", .run_dir = "/r", .started_at = {5}};
  return out;
}

// Not by their bytes: the details of an event have no order.
bool same(const StoredTask& a, const StoredTask& b) {
  return a.name == b.name && a.handle == b.handle && a.snapshot.phase == b.snapshot.phase && a.snapshot.asked == b.snapshot.asked &&
         a.snapshot.attempt == b.snapshot.attempt && a.snapshot.events == b.snapshot.events && a.snapshot.restart_memory.count == b.snapshot.restart_memory.count;
}

class StateTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/steppe-state-XXXXXX";
    base_ = ::mkdtemp(name);
    loop_ = *io::EpollLoop::create(1);
    processes_ = io::make_posix_processes(*loop_);
  }
  void TearDown() override { fs::remove_all(base_); }

  OpenedState open(StateReader reader = own_state_reader()) {
    Result<OpenedState> out = Error(Code::kCancelled, "did not run");
    io::start_root(*loop_, run(std::move(reader), out), [this] { loop_->stop(); });
    loop_->run();
    EXPECT_TRUE(out.ok()) << out.error().message();
    return out.ok() ? std::move(*out) : OpenedState{};
  }
  std::optional<NodeIdentity> identity_of(StateStore& store) {
    Result<std::optional<NodeIdentity>> out = Error(Code::kCancelled, "did not run");
    io::start_root(*loop_, ask(store, out), [this] { loop_->stop(); });
    loop_->run();
    EXPECT_TRUE(out.ok()) << out.error().message();
    return out.ok() ? *out : std::nullopt;
  }
  // kAllocs allocs with one task each, and the identity.
  void fill() {
    auto store = *StateStore::open(base_);
    ASSERT_TRUE(store->write({StateWrite::node({"11111111-2222-3333-4444-555555555555", "secret"})}).ok());
    for (size_t i = 0; i < kAllocs; ++i) {
      schema::Allocation alloc = make_alloc(i + 1, "batch", {"x"});
      ids_.push_back(alloc.id());
      ASSERT_TRUE(store->write({StateWrite::alloc(alloc), StateWrite::task(alloc.id(), make_task("x", i)), StateWrite::health(alloc.id(), i % 2 == 0)}).ok());
    }
  }
  std::string file() const { return base_ + "/data.mdb"; }
  std::string content() const {
    std::ifstream in(file(), std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  void replace(const std::string& bytes) { std::ofstream(file(), std::ios::binary | std::ios::trunc) << bytes; }
  size_t kept() const {
    return static_cast<size_t>(std::ranges::count_if(fs::directory_iterator(base_), [](const auto& entry) { return entry.path().filename().string().starts_with("data.mdb.damaged-"); }));
  }

  // Whatever `state` is, it can be used, and what it holds is what was put there. Returns how many allocs survived.
  size_t check(OpenedState& state, const std::string& what) {
    if (!state.store) return 0;
    if (!state.damage.empty()) EXPECT_TRUE(fs::exists(base_ + "/" + state.kept_as) && !state.kept_as.empty()) << what;
    if (state.damage.empty()) EXPECT_EQ(state.kept_as, "") << what;
    auto loaded = state.store->load();
    EXPECT_TRUE(loaded.ok()) << what;
    if (!loaded.ok()) return 0;
    for (const StoredAlloc& stored : loaded->allocs) {
      size_t at = static_cast<size_t>(std::ranges::find(ids_, stored.alloc->id()) - ids_.begin());
      EXPECT_LT(at, kAllocs) << what;
      EXPECT_EQ(encode_alloc(*stored.alloc), encode_alloc(make_alloc(at + 1, "batch", {"x"}))) << what;
      for (const StoredTask& task : stored.tasks) EXPECT_TRUE(same(task, make_task("x", at))) << what;
    }
    EXPECT_TRUE(state.store->write({StateWrite::alloc(make_alloc(1, "batch", {"x"}))}).ok()) << what;
    for (int i = 0; i < 20; ++i) EXPECT_TRUE(state.store->write({{"probe", std::string(3000, 'x')}, {"probe", ""}}).ok()) << what;
    return loaded->allocs.size();
  }

  std::string base_;
  std::unique_ptr<io::EpollLoop> loop_;
  std::unique_ptr<io::Processes> processes_;
  std::vector<std::string> ids_;

 private:
  io::Task<void> run(StateReader reader, Result<OpenedState>& out) { out = co_await open_state(*loop_, *processes_, std::move(reader), base_); }
  io::Task<void> ask(StateStore& store, Result<std::optional<NodeIdentity>>& out) { out = co_await find_identity(*loop_, store, base_); }
};

TEST_F(StateTest, WhatWasWrittenIsThereAndWhatWasForgottenIsNot) {
  schema::Allocation a = make_alloc(1, "batch", {"x"}), b = make_alloc(2, "batch", {"x"});
  {
    OpenedState first = open();
    ASSERT_TRUE(first.store->write({StateWrite::node({"11111111-2222-3333-4444-555555555555", "secret"}), StateWrite::alloc(a), StateWrite::alloc(b), StateWrite::task(a.id(), make_task("x", 4)),
                                    StateWrite::task(b.id(), make_task("x", 5)), StateWrite::health(a.id(), false)}).ok());
    ASSERT_TRUE(first.store->write(StateWrite::forget(b.id())).ok());
  }
  OpenedState second = open();
  EXPECT_TRUE(second.damage.empty());
  EXPECT_EQ((*second.store->node())->secret, "secret");
  auto loaded = *second.store->load();
  ASSERT_EQ(loaded.allocs.size(), 1u);
  EXPECT_EQ(loaded.allocs[0].alloc->id(), a.id());
  EXPECT_EQ(loaded.allocs[0].health, false);
  const StoredTask expected = make_task("x", 4), &found = loaded.allocs[0].tasks.at(0);
  EXPECT_EQ(found.snapshot.attempt, 4u);
  EXPECT_EQ(found.snapshot.asked, expected.snapshot.asked);
  EXPECT_EQ(found.snapshot.events, expected.snapshot.events);
  EXPECT_EQ(found.handle, expected.handle);
  EXPECT_EQ(found.snapshot.restart_memory.count, 2);
}

TEST_F(StateTest, ADamagedRecordIsRefusedNotMisread) {
  const std::string bytes = make_task("x", 1).encode();
  ASSERT_TRUE(check_record("task/a/x", bytes).ok());
  EXPECT_FALSE(check_record("task/a/y", bytes).ok());
  EXPECT_FALSE(check_record("alloc/a", bytes).ok());
  EXPECT_TRUE(check_record("something/new", bytes).ok());
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string flipped = bytes;
    flipped[i] = static_cast<char>(flipped[i] ^ (1 << (i % 8)));
    EXPECT_FALSE(StoredTask::decode(as_bytes(flipped)).ok()) << i;
  }
  for (size_t cut = 0; cut < bytes.size(); ++cut) EXPECT_FALSE(StoredTask::decode(as_bytes(bytes.substr(0, cut))).ok());
}

// As the first version wrote it: without what was asked of the task, and with a tag that nobody knows.
TEST_F(StateTest, RecordsOfOtherVersionsAreRead) {
  const std::string old = frame::Builder(frame::kClientTask, 1).text(1, "web").integer(2, static_cast<int64_t>(TaskPhase::kRunning)).integer(5, 3).integer(999, 1).finish();
  auto task = StoredTask::decode(as_bytes(old));
  ASSERT_TRUE(task.ok()) << task.error().message();
  EXPECT_EQ(task->name, "web");
  EXPECT_EQ(task->snapshot.attempt, 3u);
  EXPECT_EQ(task->snapshot.asked, TaskAsked());
  EXPECT_FALSE(task->handle);
}

TEST_F(StateTest, AFlippedBitCostsAnAllocAtMost) {
  fill();
  const std::string good = content();
  SeededRng rng(20260);
  size_t least = kAllocs, noticed = 0;
  for (int turn = 0; turn < 40; ++turn) {
    std::string bad = good;
    // Not the two meta pages: another test damages those.
    size_t at = 8192 + rng.below(good.size() - 8192);
    bad[at] = static_cast<char>(bad[at] ^ (1 << rng.below(8)));
    replace(bad);
    OpenedState state = open();
    size_t survived = check(state, "bit at " + std::to_string(at));
    noticed += !state.damage.empty();
    if (state.damage.empty()) EXPECT_EQ(survived, kAllocs) << "at " << at;
    least = std::min(least, survived);
  }
  EXPECT_GT(noticed, 3u);  // the others hit free space
  EXPECT_LT(least, kAllocs);
}

TEST_F(StateTest, DamagedPagesNeverStopTheStart) {
  fill();
  const std::string good = content();
  SeededRng rng(4711);
  size_t survived = 0, damaged = 0;
  constexpr int kTurns = 40;
  for (int turn = 0; turn < kTurns; ++turn) {
    std::string bad = good;
    size_t page = rng.below(good.size() / 4096) * 4096, from = page + (rng.chance(1, 2) ? 0 : rng.below(4096)), length = 1 + rng.below(page + 4096 - from);
    int how = static_cast<int>(rng.below(3));
    for (size_t i = from; i < from + length; ++i) bad[i] = how == 0 ? '\0' : how == 1 ? '\xff' : static_cast<char>(rng.below(256));
    replace(bad);
    OpenedState state = open();
    survived += check(state, std::format("{} bytes at {} of {}", length, from, good.size()));
    damaged += !state.damage.empty();
  }
  EXPECT_GT(damaged, kTurns / 4);
  EXPECT_LT(damaged, kTurns);
  // One damaged page is one page.
  EXPECT_GT(survived, kTurns * kAllocs / 2);
}

TEST_F(StateTest, ACutFileNeverStopsTheStart) {
  fill();
  const std::string good = content();
  for (size_t size : {size_t{0}, size_t{1}, size_t{100}, size_t{4096}, size_t{8192}, size_t{8193}, good.size() / 2, good.size() - 4096, good.size() - 1}) {
    replace(good.substr(0, size));
    OpenedState state = open();
    check(state, "cut to " + std::to_string(size));
  }
}

TEST_F(StateTest, AForeignFileIsKeptAndReplaced) {
  for (const std::string& bytes : {std::string("#!/bin/sh\necho hello\n"), std::string(1 << 20, '\0'), std::string(100'000, 'x')}) {
    replace(bytes);
    OpenedState state = open();
    EXPECT_FALSE(state.damage.empty());
    EXPECT_EQ(check(state, "foreign"), 0u);
    std::ifstream in(base_ + "/" + state.kept_as, std::ios::binary);
    EXPECT_EQ(std::string(std::istreambuf_iterator<char>(in), {}), bytes);
    EXPECT_EQ(kept(), 1u);
    fs::remove(base_ + "/" + state.kept_as);
  }
}

TEST_F(StateTest, ThreeDamagedFilesAreKept) {
  for (size_t i = 0; i < kKeptDamaged + 3; ++i) {
    replace("no database " + std::to_string(i));
    EXPECT_FALSE(open().damage.empty());
  }
  EXPECT_EQ(kept(), kKeptDamaged);
}

TEST_F(StateTest, AReaderThatCrashesHangsOrLiesCostsTheRecordsNotTheStart) {
  const std::vector<std::string> scripts = {"kill -SEGV $$", "exec sleep 100", "exit 0", "head -c 100000 /dev/zero >&3", "printf '\\377\\377\\377\\377\\1\\0\\0\\0abc' >&3"};
  for (const std::string& script : scripts) {
    fill();
    OpenedState state = open({"/bin/sh", {"-c", script}, std::chrono::milliseconds(300)});
    EXPECT_FALSE(state.damage.empty() && script.find("zero") == script.npos) << script;
    EXPECT_LE(check(state, script), 0u);
    ids_.clear();
    fs::remove_all(base_);
    fs::create_directory(base_);
  }
}

TEST_F(StateTest, WithoutAProcessTheFileIsTakenAsItIs) {
  fill();
  OpenedState state = open({"/nowhere/steppe", {}});
  EXPECT_TRUE(state.damage.empty());
  EXPECT_NE(state.unchecked, "");
  EXPECT_EQ(state.kept_as, "");
  EXPECT_EQ(state.store->load()->allocs.size(), kAllocs);
}

TEST_F(StateTest, TheIdentityOutlivesTheStateFile) {
  const NodeIdentity identity{"11111111-2222-3333-4444-555555555555", "secret"};
  {
    OpenedState state = open();
    EXPECT_FALSE(identity_of(*state.store));
    ASSERT_TRUE(state.store->write({StateWrite::node(identity)}).ok());
    EXPECT_EQ(identity_of(*state.store)->id, identity.id);  // and the file is made
  }
  replace("no database");
  {
    OpenedState state = open();
    EXPECT_FALSE(state.damage.empty());
    ASSERT_TRUE(identity_of(*state.store));
    EXPECT_EQ(identity_of(*state.store)->secret, identity.secret);
    EXPECT_EQ((*state.store->node())->id, identity.id);
  }
  std::ofstream(base_ + "/identity") << "nonsense";
  OpenedState state = open();
  EXPECT_EQ(identity_of(*state.store)->id, identity.id);
  state.store.reset();
  fs::remove(file());
  state = open();
  EXPECT_TRUE(identity_of(*state.store)) << "the file was mended";
}

TEST_F(StateTest, DeathBetweenTheRenamesLosesNothing) {
  fill();
  fs::rename(file(), base_ + "/data.mdb.fresh");
  OpenedState state = open();
  EXPECT_TRUE(state.damage.empty());
  EXPECT_EQ(check(state, "fresh only"), kAllocs);
  state.store.reset();
  // A half-made one beside a good one is nothing.
  std::ofstream(base_ + "/data.mdb.fresh") << "half";
  std::ofstream(base_ + "/data.mdb.fresh-lock") << "half";
  state = open();
  EXPECT_TRUE(state.damage.empty());
  EXPECT_EQ(check(state, "fresh as well"), kAllocs);
  EXPECT_FALSE(fs::exists(base_ + "/data.mdb.fresh"));
}

}  // namespace
}  // namespace steppe::client::test
