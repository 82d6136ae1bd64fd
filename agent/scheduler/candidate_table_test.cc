#include "agent/scheduler/candidate_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <format>

#include "init/base/rng.h"

namespace steppe::scheduler {
namespace {

TEST(Pow10, AgreesWithLibm) {
  for (double x = -6.0; x <= 6.0; x += 0.000731) {
    const double exact = std::pow(10.0, x);
    EXPECT_NEAR(pow10_exact_bits(x) / exact, 1.0, x >= 0 && x <= 1 ? 1e-15 : 3e-15) << x;
  }
  EXPECT_EQ(pow10_exact_bits(0.0), 1.0);
  EXPECT_EQ(pow10_exact_bits(1.0), 10.0);
}

struct FitCase {
  FreeFraction free;
  Algorithm algorithm;
  double want;
};

// By hand: 10^0.5 = 3.16227766, 10^0.25 = 1.77827941.
TEST(FitScore, HandComputed) {
  const FitCase cases[] = {
      {{1.0, 1.0}, Algorithm::kBinpack, 0.0},                  // 20 - 20
      {{0.0, 0.0}, Algorithm::kBinpack, 1.0},                  // 20 - 2 = 18
      {{0.5, 0.5}, Algorithm::kBinpack, 13.67544468 / 18.0},   // 20 - 6.32455532
      {{0.25, 1.0}, Algorithm::kBinpack, 8.22172059 / 18.0},   // 20 - 11.77827941
      {{1.0, 1.0}, Algorithm::kSpread, 1.0},                   // 20 - 2 = 18
      {{0.0, 0.0}, Algorithm::kSpread, 0.0},
      {{0.5, 0.5}, Algorithm::kSpread, 4.32455532 / 18.0},
      {{-0.5, 0.0}, Algorithm::kBinpack, 1.0},                 // 18.68 is clamped to 18
  };
  for (const FitCase& c : cases) EXPECT_NEAR(fit_score(c.free, c.algorithm), c.want, 1e-9) << c.free.cpu;
}

TEST(Scores, HandComputed) {
  EXPECT_DOUBLE_EQ(anti_affinity_score(1, 4), -0.5);
  EXPECT_DOUBLE_EQ(anti_affinity_score(3, 2), -2.0);
  const int64_t one[] = {50};  // net = 50 + 50/50 = 51: 1 / (1 + e^(0.0048 * -1997)) = 1 / (1 + e^-9.5856)
  EXPECT_NEAR(preemption_score(one), 0.999931, 1e-6);
  const int64_t many[] = {10, 10, 10, 10};  // net = 10 + 40/10 = 14
  EXPECT_GT(preemption_score(many), preemption_score(one));
  const double parts[] = {1.0, -0.5, 0.25};
  EXPECT_DOUBLE_EQ(mean_score(parts), 0.25);
}

Candidate node(uint32_t ordinal, double cpu_used, double memory_used) {
  Candidate c;
  c.node = ordinal;
  c.cpu_total = 1000;
  c.memory_total = 1000;
  c.disk_total = 1000;
  c.cpu_used = cpu_used;
  c.memory_used = memory_used;
  c.cpu_ask = 100;
  return c;
}

TEST(CandidateTable, ScoresAreMeansOfWhatWasAppended) {
  CandidateTable table({.memory_mb = 100, .disk_mb = 10, .desired_count = 4});
  table.add(node(0, 400, 400));  // after placing half is free: 13.67544468 / 18
  Candidate liked = node(1, 400, 400);
  liked.fixed_sum = 0.5;
  liked.fixed_count = 1;
  table.add(liked);
  Candidate crowded = node(2, 400, 400);
  crowded.collisions = 1;
  table.add(crowded);
  table.seal();
  const double fit = 13.67544468 / 18.0;
  EXPECT_NEAR(table.score(0), fit, 1e-9);
  EXPECT_NEAR(table.score(1), (fit + 0.5) / 2, 1e-9);
  EXPECT_NEAR(table.score(2), (fit - 0.5) / 2, 1e-9);  // -(1 + 1) / 4
  table.set_penalty(0, -1.0);
  EXPECT_NEAR(table.score(0), (fit - 1.0) / 2, 1e-9);
  table.set_penalty(0, 0);
  const double boosts[] = {0.25};
  table.set_boosts(boosts);
  EXPECT_NEAR(table.score(0), (fit + 0.25) / 2, 1e-9);
  EXPECT_NEAR(table.score(2), (fit - 0.5 + 0.25) / 3, 1e-9);
  const auto parts = table.explain(2);
  EXPECT_NEAR(parts.fit, fit, 1e-9);
  EXPECT_DOUBLE_EQ(parts.anti_affinity, -0.5);
  EXPECT_DOUBLE_EQ(parts.boost, 0.25);
}

TEST(CandidateTable, WhatDoesNotFitIsNeverChosen) {
  CandidateTable table({.memory_mb = 100, .disk_mb = 10});
  table.add(node(0, 901, 0));   // cpu
  table.add(node(1, 0, 901));   // memory
  Candidate disk = node(2, 0, 0);
  disk.disk_used = 991;
  table.add(disk);
  table.seal();
  EXPECT_EQ(table.best(), CandidateTable::kNone);
  EXPECT_STREQ(table.lacking(0), "cpu");
  EXPECT_STREQ(table.lacking(1), "memory");
  EXPECT_STREQ(table.lacking(2), "disk");
  table.set_used(0, 900, 0, 0);  // exactly full is allowed
  EXPECT_EQ(table.best(), 0U);
  table.set_refused(0, true);
  EXPECT_EQ(table.best(), CandidateTable::kNone);
}

TEST(CandidateTable, TiesGoToTheFirst) {
  CandidateTable table({.memory_mb = 1});
  for (uint32_t i = 0; i < 300; ++i) table.add(node(i, 0, 0));
  table.seal();
  EXPECT_EQ(table.best(), 0U);
  table.set_refused(0, true);
  EXPECT_EQ(table.best(), 1U);
  for (uint32_t i = 0; i < 130; ++i) table.set_refused(i, true);
  EXPECT_EQ(table.best(), 130U);
}

TEST(CandidateTable, EmptyAndZeroCapacity) {
  CandidateTable none({});
  none.seal();
  EXPECT_EQ(none.best(), CandidateTable::kNone);
  CandidateTable table({});
  table.add({});  // a node without resources takes a group that asks for none
  table.seal();
  EXPECT_EQ(table.best(), 0U);
  EXPECT_TRUE(std::isfinite(table.score(0)));
}

// The table against a plain loop over the same nodes, after every change.
class Reference {
 public:
  explicit Reference(GroupDemand demand) : demand_(demand) {}
  std::vector<Candidate> nodes;
  std::vector<double> penalty;
  std::vector<bool> refused;
  std::vector<double> boosts;

  double score(size_t i) const {
    const Candidate& c = nodes[i];
    if (refused[i] || c.cpu_used + c.cpu_ask > c.cpu_total || c.memory_used + demand_.memory_mb > c.memory_total ||
        c.disk_used + demand_.disk_mb > c.disk_total) {
      return CandidateTable::kNoFit;
    }
    const double cpu = 1 - (c.cpu_used + c.cpu_ask) / c.cpu_total;
    const double memory = 1 - (c.memory_used + demand_.memory_mb) / c.memory_total;
    const double t = std::pow(10, cpu) + std::pow(10, memory);
    std::vector<double> parts{std::clamp(demand_.algorithm == Algorithm::kBinpack ? 20 - t : t - 2, 0.0, 18.0) / 18};
    if (c.fixed_count > 0) parts.push_back(c.fixed_sum);
    if (c.collisions > 0) parts.push_back(-(c.collisions + 1.0) / static_cast<double>(demand_.desired_count));
    if (penalty[i] != 0) parts.push_back(penalty[i]);
    if (!boosts.empty() && boosts[c.bucket] != 0) parts.push_back(boosts[c.bucket]);
    return mean_score(parts);
  }

 private:
  GroupDemand demand_;
};

void check(const CandidateTable& table, const Reference& reference, uint64_t seed) {
  double highest = CandidateTable::kNoFit;
  for (size_t i = 0; i < reference.nodes.size(); ++i) {
    const double want = reference.score(i);
    highest = std::max(highest, want);
    if (want == CandidateTable::kNoFit) {
      ASSERT_EQ(table.score(static_cast<uint32_t>(i)), want) << seed;
    } else {
      ASSERT_NEAR(table.score(static_cast<uint32_t>(i)), want, 1e-12) << seed;
    }
  }
  const uint32_t best = table.best();
  if (highest == CandidateTable::kNoFit) {
    ASSERT_EQ(best, CandidateTable::kNone) << seed;
    return;
  }
  ASSERT_NEAR(table.score(best), highest, 1e-12) << seed;
  std::vector<uint32_t> all;
  for (uint32_t i = 0; i < reference.nodes.size(); ++i) {
    if (table.score(i) != CandidateTable::kNoFit) all.push_back(i);
  }
  std::ranges::stable_sort(all, [&](uint32_t a, uint32_t b) { return table.score(a) > table.score(b); });
  all.resize(std::min<size_t>(all.size(), 5));
  std::vector<uint32_t> top;
  table.top(5, top);
  ASSERT_EQ(top, all) << seed;
  ASSERT_EQ(top.front(), best) << seed;
}

TEST(CandidateTable, AgreesWithAPlainLoopAfterAnyChange) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SeededRng rng(seed);
    GroupDemand demand{.memory_mb = static_cast<double>(rng.below(200)),
                       .disk_mb = static_cast<double>(rng.below(50)),
                       .desired_count = static_cast<int64_t>(1 + rng.below(20)),
                       .algorithm = rng.chance(1, 2) ? Algorithm::kBinpack : Algorithm::kSpread};
    CandidateTable table(demand);
    Reference reference(demand);
    const size_t count = rng.below(400);
    for (uint32_t i = 0; i < count; ++i) {
      // Few distinct nodes: ties are what goes wrong.
      Candidate c = node(i, static_cast<double>(rng.below(4)) * 250, static_cast<double>(rng.below(4)) * 250);
      c.bucket = static_cast<uint32_t>(rng.below(5));
      if (rng.chance(1, 4)) {
        c.fixed_count = 1;
        c.fixed_sum = static_cast<double>(rng.below(3)) / 2 - 0.5;
      }
      c.collisions = static_cast<uint32_t>(rng.chance(1, 5) ? 1 + rng.below(3) : 0);
      table.add(c);
      reference.nodes.push_back(c);
      reference.penalty.push_back(0);
      reference.refused.push_back(false);
    }
    table.seal();
    check(table, reference, seed);
    for (int step = 0; step < 40 && count > 0; ++step) {
      const auto i = static_cast<uint32_t>(rng.below(count));
      switch (rng.below(5)) {
        case 0:
          reference.nodes[i].cpu_used = static_cast<double>(rng.below(1000));
          reference.nodes[i].memory_used = static_cast<double>(rng.below(1000));
          table.set_used(i, reference.nodes[i].cpu_used, reference.nodes[i].memory_used, reference.nodes[i].disk_used);
          break;
        case 1:
          reference.nodes[i].collisions = static_cast<uint32_t>(rng.below(3));
          table.set_collisions(i, reference.nodes[i].collisions);
          break;
        case 2:
          reference.refused[i] = rng.chance(1, 2);
          table.set_refused(i, reference.refused[i]);
          break;
        case 3:
          reference.penalty[i] = rng.chance(1, 2) ? -1 : 0;
          table.set_penalty(i, reference.penalty[i]);
          break;
        default:
          reference.boosts.assign(5, 0);
          for (double& boost : reference.boosts) boost = static_cast<double>(rng.below(5)) / 4 - 0.5;
          table.set_boosts(reference.boosts);
      }
      check(table, reference, seed);
    }
  }
}

}  // namespace
}  // namespace steppe::scheduler
