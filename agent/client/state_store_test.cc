#include "agent/client/state_store.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "agent/client/client_test_world.h"

namespace steppe::client::test {
namespace {

namespace fs = std::filesystem;

class StoreTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/steppe-store-XXXXXX";
    base_ = ::mkdtemp(name);
  }
  void TearDown() override { fs::remove_all(base_); }
  StoredTask task(const std::string& name, uint64_t attempt) {
    StoredTask out;
    out.name = name;
    out.snapshot.phase = TaskPhase::kRunning;
    out.snapshot.attempt = attempt;
    out.snapshot.restart_memory = {2, {77}};
    out.snapshot.events.push_back(event::terminated(3, 0, true, "x"));
    out.handle = drivers::TaskHandle{.driver = "fake", .id = "i", .run_dir = "/r", .started_at = {5}};
    return out;
  }
  std::string base_;
};

TEST_F(StoreTest, RoundTripAndForget) {
  schema::Allocation a = make_alloc(1, "batch", {"x"}), b = make_alloc(2, "batch", {"x"});
  {
    auto store = *StateStore::open(base_);
    ASSERT_TRUE(store->write({StateWrite::node({"id", "secret"}), StateWrite::alloc(a), StateWrite::alloc(b), StateWrite::task(a.id(), task("x", 4)),
                              StateWrite::task(b.id(), task("x", 5)), StateWrite::health(a.id(), false)}).ok());
    ASSERT_TRUE(store->write(StateWrite::forget(b.id())).ok());
  }
  auto opened = open_state_store(base_, {1});
  ASSERT_TRUE(opened.ok()) << opened.error().message();
  EXPECT_EQ(opened->set_aside, "");
  EXPECT_EQ((*opened->store->node())->secret, "secret");
  auto loaded = *opened->store->load();
  ASSERT_EQ(loaded.allocs.size(), 1u);
  EXPECT_EQ(loaded.allocs[0].alloc->id(), a.id());
  EXPECT_EQ(loaded.allocs[0].health, false);
  StoredTask expected = task("x", 4), &found = loaded.allocs[0].tasks.at(0);
  EXPECT_EQ(found.snapshot.attempt, 4u);
  EXPECT_EQ(found.snapshot.events, expected.snapshot.events);
  EXPECT_EQ(found.handle, expected.handle);
  EXPECT_EQ(found.snapshot.restart_memory.count, 2);
}

TEST_F(StoreTest, ARecordFromTheFutureIsRefusedNotMisread) {
  std::string bytes = task("x", 1).encode();
  ASSERT_TRUE(StoredTask::decode(as_bytes(bytes)).ok());
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string flipped = bytes;
    flipped[i] ^= 1;
    EXPECT_FALSE(StoredTask::decode(as_bytes(flipped)).ok()) << i;
  }
  for (size_t cut = 0; cut < bytes.size(); ++cut) EXPECT_FALSE(StoredTask::decode(as_bytes(bytes.substr(0, cut))).ok());
}

}  // namespace
}  // namespace steppe::client::test
