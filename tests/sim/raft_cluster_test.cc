#include "tests/sim/raft_cluster.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>

#include "init/base/text.h"

namespace steppe::sim {
namespace {

uint64_t number_from(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  if (text == nullptr) return otherwise;
  const auto number = parse_uint(text);
  return number.ok() ? *number : otherwise;
}

std::string replay(uint64_t seed) {
  return "replay: STEPPE_SIM_SEED=" + std::to_string(seed) + " bin/tests_sim_test --gtest_filter='RaftCluster.SeedsHold'";
}

// STEPPE_SIM_SEEDS: how many seeds (200); STEPPE_SIM_SEED: this one only; STEPPE_SIM_TRACE: say what happens.
TEST(RaftCluster, SeedsHold) {
  const uint64_t only = number_from("STEPPE_SIM_SEED", 0);
  const uint64_t seeds = number_from("STEPPE_SIM_SEEDS", 200);
  ClusterReport total;
  for (uint64_t seed = only != 0 ? only : 1; seed <= (only != 0 ? only : seeds); ++seed) {
    const ClusterReport report = run_cluster({.seed = seed, .members = seed % 5 == 0 ? size_t{1} : size_t{3}, .trace = std::getenv("STEPPE_SIM_TRACE") != nullptr});
    ASSERT_EQ(report.violation, "") << "seed " << seed << "; " << replay(seed);
    total.acknowledged += report.acknowledged;
    total.crashes += report.crashes;
    total.snapshots += report.snapshots;
    total.installs += report.installs;
    total.elections += report.elections;
    total.reads += report.reads;
    total.refused_starts += report.refused_starts;
    total.disk_full += report.disk_full;
  }
  std::cout << "seeds " << (only != 0 ? 1 : seeds) << ", acknowledged writes " << total.acknowledged << ", lost 0, power cuts " << total.crashes
            << ", elections " << total.elections << ", reads " << total.reads << ", snapshots " << total.snapshots << ", installed "
            << total.installs << ", damaged logs refused " << total.refused_starts << ", full disks " << total.disk_full << "\n";
  if (only == 0 && seeds >= 100) {  // the storm did happen
    EXPECT_GT(total.acknowledged, seeds * 20);
    EXPECT_GT(total.crashes, seeds * 3);
    EXPECT_GT(total.elections, seeds * 2);
    EXPECT_GT(total.snapshots, seeds);
    EXPECT_GT(total.installs, 10u);
    EXPECT_GT(total.reads, seeds);
  }
}

// STEPPE_SIM_SEEDS: a fifth of them here.
TEST(RaftCluster, SeedsHoldWhileMembersComeAndGo) {
  const uint64_t only = number_from("STEPPE_SIM_SEED", 0);
  const uint64_t seeds = number_from("STEPPE_SIM_SEEDS", 200) / 5;
  uint64_t changes = 0;
  uint64_t acknowledged = 0;
  for (uint64_t seed = only != 0 ? only : 1; seed <= (only != 0 ? only : seeds); ++seed) {
    const ClusterReport report = run_cluster({.seed = seed, .members = 5, .founders = 3, .trace = std::getenv("STEPPE_SIM_TRACE") != nullptr});
    ASSERT_EQ(report.violation, "") << "seed " << seed << "; replay: STEPPE_SIM_SEED=" << seed
                                    << " bin/tests_sim_test --gtest_filter='RaftCluster.SeedsHoldWhileMembersComeAndGo'";
    changes += report.member_changes;
    acknowledged += report.acknowledged;
  }
  std::cout << "seeds " << (only != 0 ? 1 : seeds) << ", acknowledged writes " << acknowledged << ", lost 0, membership changes " << changes << "\n";
  if (only == 0) EXPECT_GT(changes, seeds);
}

TEST(RaftCluster, ASeedReplaysToTheSameTrace) {
  std::set<uint32_t> traces;
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    const ClusterReport first = run_cluster({.seed = seed});
    const ClusterReport second = run_cluster({.seed = seed});
    EXPECT_EQ(first.trace, second.trace) << "seed " << seed;
    traces.insert(first.trace);
  }
  EXPECT_EQ(traces.size(), 10u);
}

class RaftMutants : public testing::TestWithParam<Mutant> {};

// STEPPE_SIM_MUTANT_SEEDS: how many seeds a mutant may survive (400).
TEST_P(RaftMutants, IsFound) {
  const uint64_t seeds = number_from("STEPPE_SIM_MUTANT_SEEDS", 400);
  for (uint64_t seed = 1; seed <= seeds; ++seed) {
    const ClusterReport report = run_cluster({.seed = seed, .members = seed % 5 == 0 ? size_t{1} : size_t{3}, .mutant = GetParam()});
    if (report.violation.empty()) continue;
    std::cout << "mutant \"" << mutant_name(GetParam()) << "\" found by seed " << seed << ": " << report.violation << "\n";
    return;
  }
  FAIL() << "mutant \"" << mutant_name(GetParam()) << "\" survived " << seeds << " seeds";
}

INSTANTIATE_TEST_SUITE_P(All, RaftMutants, testing::ValuesIn(kAllMutants),
                         [](const auto& info) { return "Mutant" + std::to_string(static_cast<int>(info.param)); });

}  // namespace
}  // namespace steppe::sim
