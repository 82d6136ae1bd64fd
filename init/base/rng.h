#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace steppe {

// The only source of chance. Handed in; a simulated run replays from its seed. One owner, one
// thread, unless the implementation says otherwise.
class Rng {
 public:
  virtual ~Rng() = default;
  virtual uint64_t next() = 0;  // 64 uniform bits
  // Fills with bytes fit for secrets where the implementation is the kernel's generator.
  virtual void fill(std::span<std::byte> out) = 0;

  // Uniform in [0, bound). Requires bound > 0. Lemire's multiply-and-reject.
  uint64_t below(uint64_t bound);
  // True with probability numerator/denominator.
  bool chance(uint64_t numerator, uint64_t denominator) { return below(denominator) < numerator; }
};

// xoshiro256** (Blackman and Vigna, 2018), seeded through splitmix64. For simulation, shuffles and
// jitter; never for secrets.
class SeededRng final : public Rng {
 public:
  explicit SeededRng(uint64_t seed);
  uint64_t next() override;
  void fill(std::span<std::byte> out) override;

 private:
  uint64_t state_[4];
};

}  // namespace steppe
