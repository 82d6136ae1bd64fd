#pragma once

#include <cstdint>
#include <vector>

namespace steppe::bench {

// The floor of a placement that scores every node: what the same choice costs over two float arrays with nothing around
// it. For each placement one pass over all nodes (fit, BestFit v3 on CPU and memory, the best so far), then the commit.
struct ScanInput {
  std::vector<float> cpu_total, memory_total;
  std::vector<uint8_t> feasible;
  float cpu_ask = 0, memory_ask = 0;
};
// Returns how many were placed; `sum` keeps the compiler from dropping the work.
uint32_t array_scan(const ScanInput& input, uint32_t count, uint64_t& sum);

}  // namespace steppe::bench
