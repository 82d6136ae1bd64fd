#include "agent/scheduler/spread_score.h"

#include <gtest/gtest.h>

#include "agent/scheduler/preemption.h"

namespace steppe::scheduler {
namespace {

schema::Spread targets(std::vector<std::pair<std::string, int64_t>> wanted, int64_t weight = 100) {
  schema::Spread spread;
  spread.set_attribute("${node.datacenter}");
  spread.set_weight(weight);
  for (const auto& [value, percent] : wanted) {
    auto& target = *spread.add_spread_target();
    target.set_value(value);
    target.set_percent(percent);
  }
  return spread;
}

double gain(SpreadCounter& counter, std::optional<std::string_view> value) {
  const uint32_t id = counter.intern(value);
  std::vector<double> gains;
  counter.gains(gains);
  return gains[id];
}

// 10 allocs, 70 % in dc1 and 30 % in dc2.
TEST(Spread, TargetsByHand) {
  SpreadCounter counter(targets({{"dc1", 70}, {"dc2", 30}}), 100, 10);
  EXPECT_NEAR(gain(counter, "dc1"), 6.0 / 7.0, 1e-12);  // (7 - 1) / 7
  EXPECT_NEAR(gain(counter, "dc2"), 2.0 / 3.0, 1e-12);
  counter.add(counter.intern("dc1"), 7);
  EXPECT_NEAR(gain(counter, "dc1"), -1.0 / 7.0, 1e-12);
  EXPECT_DOUBLE_EQ(gain(counter, "dc3"), -1.0);  // nothing is left for others
  EXPECT_DOUBLE_EQ(gain(counter, std::nullopt), -1.0);
}

TEST(Spread, RemainderAndWeightShare) {
  SpreadCounter counter(targets({{"dc1", 60}}, 50), 200, 10);  // a quarter of the weight; 4 allocs for the rest
  EXPECT_NEAR(gain(counter, "dc1"), 5.0 / 6.0 / 4.0, 1e-12);
  EXPECT_NEAR(gain(counter, "dc2"), 3.0 / 4.0 / 4.0, 1e-12);
}

TEST(Spread, TargetOfZeroGetsTheLowest) {
  SpreadCounter counter(targets({{"dc1", 100}, {"dc2", 0}}), 100, 2);
  EXPECT_DOUBLE_EQ(gain(counter, "dc2"), -1.0);
  counter.add(counter.intern("dc1"), 5);  // (2 - 6) / 2 = -2 is lower
  EXPECT_DOUBLE_EQ(gain(counter, "dc2"), -2.0);
}

TEST(Spread, EvenByHand) {
  SpreadCounter counter(targets({}), 100, 10);
  EXPECT_DOUBLE_EQ(gain(counter, "a"), 0);  // nothing placed: no opinion
  counter.add(counter.intern("a"), 1);
  EXPECT_DOUBLE_EQ(gain(counter, "a"), -1);  // least = most = 1
  EXPECT_DOUBLE_EQ(gain(counter, "b"), 1);   // (1 - 0) / 1
  counter.add(counter.intern("b"), 2);
  EXPECT_DOUBLE_EQ(gain(counter, "a"), 1);   // (2 - 1) / 1
  EXPECT_DOUBLE_EQ(gain(counter, "b"), -1);  // (1 - 2) / 1
  EXPECT_DOUBLE_EQ(gain(counter, "c"), 1);
  counter.add(counter.intern("a"), -1);      // stopped: least is now 0
  EXPECT_DOUBLE_EQ(gain(counter, "a"), 1);
  EXPECT_DOUBLE_EQ(gain(counter, "b"), -1);
  EXPECT_DOUBLE_EQ(gain(counter, std::nullopt), -1);
}

Preemptible victim(int64_t priority, int64_t cpu, int64_t memory) {
  return {.priority = priority, .holds = {cpu, memory, 0}};
}

TEST(Preemption, LowestPriorityFirstThenNearest) {
  const std::vector<Preemptible> candidates{victim(30, 500, 500), victim(20, 100, 100), victim(20, 450, 450),
                                            victim(20, 2000, 2000)};
  const auto chosen = choose_victims(candidates, {0, 0, 0}, {500, 500, 0});
  ASSERT_TRUE(chosen);
  // 450 is nearest of priority 20, then what covers the missing 50: 100. Nothing of priority 30.
  EXPECT_EQ(*chosen, (std::vector<size_t>{2, 1}));
}

TEST(Preemption, SuperfluousVictimsAreKept) {
  const std::vector<Preemptible> candidates{victim(10, 100, 100), victim(20, 1000, 1000)};
  const auto chosen = choose_victims(candidates, {0, 0, 0}, {1000, 1000, 0});
  ASSERT_TRUE(chosen);
  EXPECT_EQ(*chosen, (std::vector<size_t>{1}));
  EXPECT_FALSE(choose_victims(candidates, {0, 0, 0}, {2000, 100, 0}));
}

TEST(Preemption, MaxParallelAndRequired) {
  std::vector<Preemptible> candidates{victim(10, 500, 500), victim(10, 490, 490)};
  candidates[0].max_parallel = 1;
  candidates[0].already_evicted = 1;  // one more costs 50
  auto chosen = choose_victims(candidates, {20, 20, 0}, {500, 500, 0});
  ASSERT_TRUE(chosen);
  EXPECT_EQ(*chosen, (std::vector<size_t>{1}));
  candidates[0].required = true;
  chosen = choose_victims(candidates, {20, 20, 0}, {500, 500, 0});
  ASSERT_TRUE(chosen);
  EXPECT_EQ(*chosen, (std::vector<size_t>{0}));
}

}  // namespace
}  // namespace steppe::scheduler
