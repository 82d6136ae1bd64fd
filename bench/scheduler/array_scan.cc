#include "bench/scheduler/array_scan.h"

#include <bit>
#include <limits>

#if defined(__x86_64__)
#define SCAN_VERSIONS __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define SCAN_VERSIONS
#endif

namespace steppe::bench {
namespace {

constexpr float kNone = -std::numeric_limits<float>::infinity();

// 10^x to float precision: exponent bits and a polynomial of degree 5.
[[gnu::always_inline]] inline float pow10_float(float x) {
  const float y = x * 3.32192809f;
  const float rounded = y + 12582912.0f;  // 1.5 * 2^23
  const float f = (y - (rounded - 12582912.0f)) * 0.69314718f;
  const float p = 1.0f + f * (1.0f + f * (0.5f + f * (0.16666667f + f * (0.041666667f + f * 0.0083333333f))));
  return std::bit_cast<float>(std::bit_cast<uint32_t>(p) + (std::bit_cast<uint32_t>(rounded) << 23));
}

// Everything that does not change is worked out beforehand: reciprocals of the totals, and the infeasible nodes as full.
SCAN_VERSIONS void score_all(const float* cpu_total, const float* memory_total, const float* per_cpu,
                             const float* per_memory, const float* cpu_used, const float* memory_used, float cpu_ask,
                             float memory_ask, float* score, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) {
    const float cpu = cpu_used[i] + cpu_ask;
    const float memory = memory_used[i] + memory_ask;
    const float total = pow10_float(1.0f - cpu * per_cpu[i]) + pow10_float(1.0f - memory * per_memory[i]);
    float fit = 20.0f - total;
    fit = fit < 0.0f ? 0.0f : fit;
    fit = (fit > 18.0f ? 18.0f : fit) * (1.0f / 18.0f);
    const bool fits = (cpu <= cpu_total[i]) & (memory <= memory_total[i]);
    score[i] = fits ? fit : kNone;
  }
}

SCAN_VERSIONS float highest_of(const float* score, uint32_t count) {
  float lane[16];
  for (float& value : lane) value = kNone;
  for (uint32_t i = 0; i < count; i += 16) {
    for (uint32_t j = 0; j < 16; ++j) lane[j] = score[i + j] > lane[j] ? score[i + j] : lane[j];
  }
  float highest = lane[0];
  for (const float value : lane) highest = value > highest ? value : highest;
  return highest;
}

}  // namespace

uint32_t array_scan(const ScanInput& input, uint32_t count, uint64_t& sum) {
  const auto nodes = static_cast<uint32_t>(input.cpu_total.size());
  const uint32_t padded = (nodes + 15) / 16 * 16;
  std::vector<float> cpu(nodes), memory(nodes), per_cpu(nodes), per_memory(nodes), score(padded, kNone);
  for (uint32_t i = 0; i < nodes; ++i) {
    if (input.feasible[i] == 0) cpu[i] = input.cpu_total[i];
    per_cpu[i] = 1.0f / input.cpu_total[i];
    per_memory[i] = 1.0f / input.memory_total[i];
  }
  for (uint32_t placed = 0; placed < count; ++placed) {
    score_all(input.cpu_total.data(), input.memory_total.data(), per_cpu.data(), per_memory.data(), cpu.data(),
              memory.data(), input.cpu_ask, input.memory_ask, score.data(), nodes);
    const float highest = highest_of(score.data(), padded);
    if (highest == kNone) return placed;
    uint32_t best = 0;
    while (score[best] != highest) ++best;
    cpu[best] += input.cpu_ask;
    memory[best] += input.memory_ask;
    sum += best;
  }
  return count;
}

}  // namespace steppe::bench
