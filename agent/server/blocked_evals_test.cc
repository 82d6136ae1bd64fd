#include "agent/server/blocked_evals.h"

#include <gtest/gtest.h>

#include "agent/server/heartbeat_table.h"
#include "init/base/rng.h"

namespace steppe::server {
namespace {

using namespace std::chrono_literals;
using Verdict = BlockedEvals::Verdict;

class BlockedTest : public ::testing::Test {
 protected:
  BlockedEval eval(const std::string& job, uint64_t index = 10) {
    return {.id = EvalId::random(rng_), .job = job, .create_index = index, .snapshot_index = index};
  }
  SeededRng rng_{1};
  BlockedEvals blocked_;
};

struct ClassCase {
  const char* name;
  std::map<std::string, bool> eligibility;
  bool escaped;
  bool unblocks;
};
TEST_F(BlockedTest, ClassesDecideWhoIsWoken) {
  const ClassCase cases[] = {
      {"eligible class", {{"v1:1", true}}, false, true},
      {"infeasible class", {{"v1:1", false}}, false, false},
      {"class not looked at", {{"v1:2", false}}, false, true},
      {"escaped", {{"v1:1", false}}, true, true},
  };
  for (const ClassCase& at : cases) {
    BlockedEvals blocked;
    BlockedEval waiting = eval("job");
    waiting.eligibility = at.eligibility;
    waiting.escaped = at.escaped;
    EXPECT_EQ(blocked.block(waiting), Verdict::kBlocked) << at.name;
    EXPECT_EQ(blocked.unblock("v1:1", 20).size(), at.unblocks ? 1U : 0U) << at.name;
    EXPECT_EQ(blocked.size(), at.unblocks ? 0U : 1U) << at.name;
  }
}

TEST_F(BlockedTest, TheNewestOfAJobStays) {
  const BlockedEval first = eval("job", 10);
  const BlockedEval second = eval("job", 12);
  const BlockedEval stale = eval("job", 11);
  EXPECT_EQ(blocked_.block(first), Verdict::kBlocked);
  EXPECT_EQ(blocked_.block(second), Verdict::kBlocked);
  EXPECT_EQ(blocked_.block(stale), Verdict::kDuplicate);
  EXPECT_EQ(blocked_.take_duplicates(10), (std::vector<EvalId>{first.id, stale.id}));
  EXPECT_EQ(blocked_.unblock("v1:1", 20), std::vector<EvalId>{second.id});
}

TEST_F(BlockedTest, CapacityThatCameMeanwhileIsNotMissed) {
  blocked_.unblock("v1:1", 15);
  EXPECT_EQ(blocked_.block(eval("old", 14)), Verdict::kUnblock);
  EXPECT_EQ(blocked_.block(eval("new", 15)), Verdict::kBlocked);
  BlockedEval infeasible = eval("no", 14);
  infeasible.eligibility = {{"v1:1", false}};
  EXPECT_EQ(blocked_.block(infeasible), Verdict::kBlocked);
  blocked_.prune(15);
  EXPECT_EQ(blocked_.block(eval("late", 14)), Verdict::kBlocked);
}

TEST_F(BlockedTest, SystemJobsWaitForTheirNode) {
  const NodeId node = NodeId::random(rng_);
  const NodeId other = NodeId::random(rng_);
  BlockedEval here = eval("sys");
  here.node = node;
  BlockedEval there = eval("sys");
  there.node = other;
  EXPECT_EQ(blocked_.block(here), Verdict::kBlocked);
  EXPECT_EQ(blocked_.block(there), Verdict::kBlocked);
  EXPECT_TRUE(blocked_.unblock("v1:1", 20).empty());
  EXPECT_EQ(blocked_.unblock_node(node, 20), std::vector<EvalId>{here.id});
  blocked_.untrack("sys");
  EXPECT_EQ(blocked_.size(), 0U);
}

TEST_F(BlockedTest, FailedOnesAreTriedByTheClock) {
  BlockedEval failed = eval("job");
  failed.failed = true;
  EXPECT_EQ(blocked_.block(failed), Verdict::kBlocked);
  EXPECT_EQ(blocked_.block(eval("other")), Verdict::kBlocked);
  EXPECT_EQ(blocked_.unblock_failed(), std::vector<EvalId>{failed.id});
  EXPECT_EQ(blocked_.size(), 1U);
}

TEST_F(BlockedTest, UntrackAndBound) {
  BlockedEvals small(1);
  EXPECT_EQ(small.block(eval("a")), Verdict::kBlocked);
  EXPECT_EQ(small.block(eval("b")), Verdict::kFull);
  small.untrack("a");
  EXPECT_EQ(small.block(eval("b")), Verdict::kBlocked);
}

TEST(HeartbeatTest, TtlGrowsWithTheCluster) {
  SeededRng rng(1);
  HeartbeatTable table({}, rng);
  const MonoTime now{0};
  const Duration alone = table.reset(NodeId::random(rng), now);
  EXPECT_GE(alone, 10s);
  EXPECT_LE(alone, 20s);
  for (int i = 0; i < 4999; ++i) table.reset(NodeId::random(rng), now);
  const Duration crowded = table.reset(NodeId::random(rng), now);
  EXPECT_GE(crowded, 100s);
  EXPECT_LE(crowded, 201s);
}

TEST(HeartbeatTest, SilenceIsNoticedAfterTtlAndGrace) {
  SeededRng rng(2);
  HeartbeatTable table({}, rng);
  const NodeId node = NodeId::random(rng);
  const MonoTime now{0};
  const Duration ttl = table.reset(node, now);
  EXPECT_TRUE(table.expire(now + ttl + 9s).empty());
  EXPECT_EQ(table.expire(now + ttl + 10s), std::vector<NodeId>{node});
  EXPECT_FALSE(table.knows(node));
  table.give_time(node, now);
  EXPECT_EQ(*table.next_deadline(), now + 300s);
  table.reset(node, now);
  EXPECT_LT(*table.next_deadline(), now + 31s);
  EXPECT_EQ(table.size(), 1U);
}

}  // namespace
}  // namespace steppe::server
