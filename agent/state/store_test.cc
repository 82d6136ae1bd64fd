#include "agent/state/store.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <format>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "agent/state/persist.h"
#include "agent/state/root.h"
#include "agent/state/sample_test.h"
#include "agent/state/score_pack.h"
#include "agent/state/scrub.h"
#include "agent/state/writer.h"

namespace steppe::state {
namespace {

// Some rows of each table.
class Filled : public testing::Test {
 protected:
  Filled() { fill(store_); }

  void fill(Store& store) {
    SeededRng rng(3);
    uint64_t index = 1;
    schema::LogNodeRegister node;
    node_id_ = sample::uuid(rng);
    *node.mutable_node() = sample::node(node_id_, "n1");
    ASSERT_TRUE(sample::apply(store, ++index, schema::LOG_NODE_REGISTER, node).ok());
    schema::LogJobRegister job;
    *job.mutable_job() = sample::job("web");
    std::string eval_id = sample::uuid(rng);
    *job.mutable_eval() = sample::eval(eval_id, "web");
    job.mutable_submission()->set_source("x");
    ASSERT_TRUE(sample::apply(store, ++index, schema::LOG_JOB_REGISTER, job).ok());
    schema::LogPlanApply plan;
    *plan.mutable_job() = store.snapshot().job("default", "web")->decode();
    for (uint64_t i = 0; i < 5; ++i) {
      *plan.add_allocs_updated() = sample::alloc(rng, "web", "group0", i, node_id_, eval_id);
      alloc_ids_.push_back(plan.allocs_updated().rbegin()->id());
    }
    plan.mutable_deployment()->set_id(sample::uuid(rng));
    plan.mutable_deployment()->set_job_id("web");
    plan.mutable_deployment()->set_status("running");
    ASSERT_TRUE(sample::apply(store, ++index, schema::LOG_PLAN_APPLY, plan).ok());
    schema::LogSchedulerConfig config;
    config.mutable_config()->set_scheduler_algorithm("binpack");
    ASSERT_TRUE(sample::apply(store, ++index, schema::LOG_SCHEDULER_CONFIG, config).ok());
  }

  std::string persisted() {
    PersistWriter writer(store_.snapshot());
    std::string all;
    for (std::string chunk = writer.next_chunk(); !chunk.empty(); chunk = writer.next_chunk()) all += chunk;
    return all;
  }
  static Result<std::unique_ptr<Writer>> restore(const std::string& bytes) {
    PersistReader reader;
    STEPPE_TRY_VOID(reader.feed(as_bytes(bytes)));
    return reader.finish();
  }
  Result<bool> scrub_all(const Snapshot& snapshot) {
    Scrub scrub(snapshot);
    while (true) {
      STEPPE_TRY(bool done, scrub.step(3));
      if (done) return true;
    }
  }

  Store store_;
  std::string node_id_;
  std::vector<std::string> alloc_ids_;
};

TEST_F(Filled, WhatCannotBeUnderstoodIsAnErrorAndChangesNothing) {
  uint64_t digest = store_.snapshot().digest();
  auto unknown = store_.apply(100, 4711, as_bytes("x"));
  ASSERT_FALSE(unknown.ok());
  EXPECT_EQ(unknown.error().code(), Code::kCorrupt);
  EXPECT_NE(unknown.error().message().find("apply entry 100: log command of unknown type 4711"), std::string::npos);
  auto damaged = store_.apply(100, schema::LOG_PLAN_APPLY, as_bytes("\xff\xff\xff"));
  ASSERT_FALSE(damaged.ok());
  EXPECT_EQ(damaged.error().code(), Code::kCorrupt);
  EXPECT_EQ(store_.snapshot().digest(), digest);
  EXPECT_TRUE(store_.apply(100, schema::LOG_NOOP, {}).ok());
  EXPECT_EQ(store_.snapshot().index(), 100u);
}

TEST_F(Filled, SnapshotsOutliveTheStoreAndAreReadByOtherThreads) {
  std::vector<Snapshot> kept;
  {
    Store store;
    alloc_ids_.clear();
    fill(store);
    kept.push_back(store.snapshot());
    std::atomic<bool> stop = false;
    std::atomic<uint64_t> seen = 0;
    std::vector<std::thread> readers;
    for (int i = 0; i < 3; ++i) {
      readers.emplace_back([&, snapshot = store.snapshot()]() mutable {
        do {
          uint64_t count = 0;
          snapshot.each_alloc(AllocId(), Order::kForward, [&](const AllocView& view) {
            count += view.decode(WithJob::kYes).job().id() == "web" ? 1 : 0;
            return true;
          });
          EXPECT_EQ(count, 5u);
          seen += count;
        } while (!stop);
        snapshot = Snapshot();  // dropped here, freed by the writer
      });
    }
    for (uint64_t i = 0; i < 300; ++i) {
      schema::LogAllocClientUpdate update;
      *update.add_allocs() = sample::running(alloc_ids_[i % 5], static_cast<int64_t>(i));
      ASSERT_TRUE(sample::apply(store, 10 + i, schema::LOG_ALLOC_CLIENT_UPDATE, update).ok());
      kept.push_back(store.snapshot());
      if (kept.size() > 4) kept.erase(kept.begin() + 1);
    }
    stop = true;
    for (std::thread& reader : readers) reader.join();
    EXPECT_GE(seen, 15u);
  }
  EXPECT_EQ(kept.front().alloc(AllocId(*Uuid::parse(alloc_ids_[0])))->client_status(), ClientStatus::kPending);
  EXPECT_EQ(kept.back().alloc(AllocId(*Uuid::parse(alloc_ids_[0])))->client_status(), ClientStatus::kRunning);
}

TEST_F(Filled, EveryDamagedByteOfAPersistedStateIsFound) {
  std::string bytes = persisted();
  ASSERT_TRUE(restore(bytes).ok());
  for (size_t at = 0; at < bytes.size(); ++at) {
    std::string damaged = bytes;
    damaged[at] = static_cast<char>(damaged[at] ^ (1 << (at % 8)));
    ASSERT_FALSE(restore(damaged).ok()) << "byte " << at;
  }
  for (size_t size : {size_t{0}, size_t{10}, bytes.size() / 2, bytes.size() - 1}) {
    auto cut = restore(bytes.substr(0, size));
    ASSERT_FALSE(cut.ok());
    EXPECT_EQ(cut.error().code(), Code::kCorrupt);
  }
  EXPECT_FALSE(restore(bytes + bytes).ok());
}

// Format 1 as the first release wrote it must stay readable, to the same digest. To make the file of a new format:
// STEPPE_WRITE_FIXTURE=1, once; files of older formats are never written again.
TEST_F(Filled, TheFixtureOfTheFormatIsRead) {
  const std::string path = "agent/state/testdata/persist-1.bin";
  if (std::getenv("STEPPE_WRITE_FIXTURE") != nullptr) std::ofstream(path, std::ios::binary) << persisted();
  std::ifstream file(path, std::ios::binary);
  ASSERT_TRUE(file.good()) << path << ": run from the root of the source tree";
  std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  auto restored = restore(bytes);
  ASSERT_TRUE(restored.ok()) << restored.error().message();
  EXPECT_EQ(bytes, persisted());
  uint64_t digest = store_.snapshot().digest();
  store_.install(std::move(*restored));
  EXPECT_EQ(store_.snapshot().digest(), digest);
  EXPECT_EQ(store_.snapshot().alloc_count(), 5u);
}

TEST_F(Filled, ChunksOutOfOrderAreFound) {
  PersistWriter writer(store_.snapshot());
  std::vector<std::string> chunks;
  for (std::string chunk = writer.next_chunk(); !chunk.empty(); chunk = writer.next_chunk()) chunks.push_back(chunk);
  ASSERT_GE(chunks.size(), 2u);
  PersistReader skipping;
  EXPECT_FALSE(skipping.feed(as_bytes(chunks[1])).ok());
}

TEST_F(Filled, RestoringWakesAllWaits) {
  bool fired = false;
  auto token = store_.watches().wait({WatchKey::row(Table::kNodes, Uuid())}, [&](uint64_t) { fired = true; });
  auto restored = restore(persisted());
  ASSERT_TRUE(restored.ok());
  store_.install(std::move(*restored));
  EXPECT_TRUE(fired);
  EXPECT_FALSE(token->armed());
}

// The background check must see a flipped bit wherever it is: each case flips one and puts it back.
TEST_F(Filled, TheBackgroundCheckFindsFlippedBits) {
  Snapshot snapshot = store_.snapshot();
  ASSERT_TRUE(scrub_all(snapshot).ok());
  const Root& root = snapshot.root();
  auto* alloc = const_cast<AllocRow*>(root.allocs.find(*Uuid::parse(alloc_ids_[2])));
  auto* node = const_cast<NodeRow*>(root.nodes.find(*Uuid::parse(node_id_)));
  auto* job = const_cast<JobRow*>(root.jobs.find(job_key("default", "web")));
  auto expect_found = [&](auto& place, std::string_view where) {
    auto saved = place;
    auto* byte = reinterpret_cast<unsigned char*>(&place);
    *byte ^= 0x10;
    auto result = scrub_all(snapshot);
    place = saved;
    EXPECT_FALSE(result.ok()) << where;
    if (!result.ok()) EXPECT_NE(result.error().message().find(where), std::string::npos) << result.error().message();
  };
  expect_found(alloc->modify_index, "allocs");
  expect_found(alloc->client, "allocs");
  expect_found(alloc->placement->node_id, "allocs");
  expect_found(alloc->placement->usage.memory, "allocs");
  expect_found(*const_cast<char*>(alloc->placement->tail().data() + 12), "allocs");
  expect_found(node->bytes[20], "nodes");
  expect_found(node->status_updated_at, "nodes");
  expect_found(job->versions.front().spec->bytes[5], "jobs");
  expect_found(job->groups.front().starting, "jobs");
  expect_found(const_cast<Root&>(root).digests[static_cast<size_t>(Table::kEvals)], "evals");
  ASSERT_TRUE(scrub_all(snapshot).ok());
}

TEST(WatchHub, FiresOnceInOrderAndForgetsDroppedWaits) {
  WatchHub hub(3);
  std::vector<int> fired;
  auto key = [](const char* name) { return WatchKey::row(Table::kNodePools, name); };
  auto first = hub.wait({key("a"), key("b")}, [&](uint64_t index) { fired.push_back(static_cast<int>(index)); });
  auto second = hub.wait({key("b")}, [&](uint64_t) { fired.push_back(2); });
  {
    auto dropped = hub.wait({key("b")}, [&](uint64_t) { fired.push_back(3); });
    ASSERT_TRUE(dropped.ok());
    auto over = hub.wait({key("b")}, [](uint64_t) {});
    ASSERT_FALSE(over.ok());
    EXPECT_EQ(over.error().code(), Code::kExhausted);
  }
  EXPECT_EQ(hub.waiting(), 2u);
  hub.fire(9, {key("c")});
  EXPECT_TRUE(fired.empty());
  hub.fire(9, {key("b"), key("a")});
  EXPECT_EQ(fired, (std::vector<int>{9, 2}));
  hub.fire(10, {key("b")});
  EXPECT_EQ(fired.size(), 2u);
  EXPECT_EQ(hub.waiting(), 0u);
}

TEST(WatchHub, CallbacksMayWaitAgainAndDropOthers) {
  WatchHub hub;
  int fired = 0;
  WatchToken again, other;
  auto first = hub.wait({WatchKey::whole(Table::kJobs)}, [&](uint64_t) {
    ++fired;
    other = WatchToken();
    again = *hub.wait({WatchKey::whole(Table::kJobs)}, [&](uint64_t) { fired += 10; });
  });
  other = *hub.wait({WatchKey::whole(Table::kJobs)}, [&](uint64_t) { fired += 100; });
  hub.fire(1, {WatchKey::whole(Table::kJobs)});
  EXPECT_EQ(fired, 1);
  hub.fire(2, {WatchKey::whole(Table::kJobs)});
  EXPECT_EQ(fired, 11);
}

TEST(ScorePack, IsExactAndRefusesDamage) {
  SeededRng rng(2);
  schema::Allocation alloc = sample::alloc(rng, "web", "group0", 0, sample::uuid(rng), sample::uuid(rng));
  schema::AllocMetric metric = alloc.metrics();
  (*metric.mutable_score_meta_data(2)->mutable_scores())["a score of its own"] = -1.5;
  schema::AllocMetric packed = metric;
  std::string bytes = pack_scores(packed);
  ASSERT_FALSE(bytes.empty());
  EXPECT_EQ(packed.score_meta_data_size(), 0);
  EXPECT_LT(bytes.size() * 3, metric.ByteSizeLong() * 2);
  schema::AllocMetric unpacked = packed;
  ASSERT_TRUE(unpack_scores(bytes, unpacked));
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(unpacked.score_meta_data(i).node_id(), metric.score_meta_data(i).node_id());
    EXPECT_EQ(unpacked.score_meta_data(i).norm_score(), metric.score_meta_data(i).norm_score());
    EXPECT_EQ(unpacked.score_meta_data(i).scores().at("binpack"), metric.score_meta_data(i).scores().at("binpack"));
  }
  EXPECT_EQ(unpacked.score_meta_data(2).scores().at("a score of its own"), -1.5);
  schema::AllocMetric cut;
  EXPECT_FALSE(unpack_scores(std::string_view(bytes).substr(0, bytes.size() - 1), cut));
  metric.mutable_score_meta_data(0)->set_node_id("a name");
  EXPECT_TRUE(pack_scores(metric).empty());
  EXPECT_EQ(metric.score_meta_data_size(), 5);
}

}  // namespace
}  // namespace steppe::state
