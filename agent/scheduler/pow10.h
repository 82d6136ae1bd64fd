#pragma once

#include <bit>
#include <cstdint>

namespace steppe::scheduler {

// 10^x without a branch or a call, so that a loop over it becomes vector code. 2^(x log2 10): the integer part goes into the
// exponent bits, the fraction through the Taylor series of e^(f ln 2) on |f| <= 0.5 (13 terms leave 2e-17).
// log2(10) is split in two so that the product keeps its low bits.
[[gnu::always_inline]] inline double pow10_inline(double x) {
  constexpr double kLog2Of10High = 3.321928083896637;  // 26 significant bits
  constexpr double kLog2Of10Low = 1.0990725384979695e-08;
  constexpr double kLn2 = 0.69314718055994530942;
  constexpr double kRound = 6755399441055744.0;  // 1.5 * 2^52: adding it rounds to an integer
  const double high = x * kLog2Of10High;
  const double rounded = high + kRound;
  const double whole = rounded - kRound;
  const double z = ((high - whole) + x * kLog2Of10Low) * kLn2;
  double p = 1.0 / 6227020800.0;
  p = p * z + 1.0 / 479001600.0;
  p = p * z + 1.0 / 39916800.0;
  p = p * z + 1.0 / 3628800.0;
  p = p * z + 1.0 / 362880.0;
  p = p * z + 1.0 / 40320.0;
  p = p * z + 1.0 / 5040.0;
  p = p * z + 1.0 / 720.0;
  p = p * z + 1.0 / 120.0;
  p = p * z + 1.0 / 24.0;
  p = p * z + 1.0 / 6.0;
  p = p * z + 0.5;
  p = p * z + 1.0;
  p = p * z + 1.0;
  // The low bits of `rounded` hold the integer in two's complement; the constant's own bits fall out of the shift.
  const uint64_t exponent = std::bit_cast<uint64_t>(rounded) << 52;
  return std::bit_cast<double>(std::bit_cast<uint64_t>(p) + exponent);
}

}  // namespace steppe::scheduler
