#include "agent/scheduler/score.h"

#include <algorithm>
#include <cmath>

#include "agent/scheduler/pow10.h"
#include "init/base/assert.h"

namespace steppe::scheduler {

double pow10_exact_bits(double x) { return pow10_inline(x); }

double fit_score(FreeFraction free, Algorithm algorithm) {
  const double total = pow10_inline(free.cpu) + pow10_inline(free.memory);
  const double raw = algorithm == Algorithm::kBinpack ? 20.0 - total : total - 2.0;
  return std::clamp(raw, 0.0, 18.0) / 18.0;
}

double anti_affinity_score(int64_t collisions, int64_t count) {
  STEPPE_ASSERT(collisions > 0 && count > 0);
  return -static_cast<double>(collisions + 1) / static_cast<double>(count);
}

double preemption_score(std::span<const int64_t> victim_priorities) {
  STEPPE_ASSERT(!victim_priorities.empty());
  double highest = 0;
  double sum = 0;
  for (const int64_t priority : victim_priorities) {
    highest = std::max(highest, static_cast<double>(priority));
    sum += static_cast<double>(priority);
  }
  const double net = highest > 0 ? highest + sum / highest : 0;
  return 1.0 / (1.0 + std::exp(0.0048 * (net - 2048.0)));
}

double mean_score(std::span<const double> scores) {
  if (scores.empty()) return 0;
  double sum = 0;
  for (const double score : scores) sum += score;
  return sum / static_cast<double>(scores.size());
}

}  // namespace steppe::scheduler
