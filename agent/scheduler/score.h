#pragma once

#include <cstdint>
#include <span>

namespace steppe::scheduler {

// How full nodes compare to empty ones. Nomad's scheduler_algorithm.
enum class Algorithm : uint8_t {
  kBinpack,  // fuller is better
  kSpread,   // emptier is better
};

// The free parts of a node after a placement, as fractions of what is left when reserved resources are taken off:
// 0 full, 1 empty.
struct FreeFraction {
  double cpu = 0;
  double memory = 0;
};

// BestFit v3 (Google's work on scoring VM placement): with t = 10^free_cpu + 10^free_memory, binpack is 20 - t and spread is t - 2,
// clamped to 0..18 and divided by 18. Result 0..1.
double fit_score(FreeFraction free, Algorithm algorithm);

// -(collisions + 1) / count: other allocs of the same job and group on the node. Requires collisions > 0, count > 0.
double anti_affinity_score(int64_t collisions, int64_t count);

// 1 / (1 + e^(0.0048 (net - 2048))) with net = highest victim priority + sum of the victim jobs' priorities / highest:
// near 1 for few and unimportant victims. Empty: 1 is not a meaningful answer, so the span must not be empty.
double preemption_score(std::span<const int64_t> victim_priorities);

// Arithmetic mean of the scores that were appended.
double mean_score(std::span<const double> scores);

// 10^x with a relative error below 1e-15 for x in 0..1, where free fractions lie, and 3e-15 for |x| <= 6; the same bits on
// every processor (no fused operations, no libm).
double pow10_exact_bits(double x);

}  // namespace steppe::scheduler
