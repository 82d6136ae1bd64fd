#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

#include "init/base/bytes.h"

namespace steppe::state {

// A 64-bit checksum of a row's content. Each step is a bijection of the running value for fixed input and of the input
// for fixed value, so a single flipped bit always shows; it is no defence against a forger. The function is part of
// what replicas compare: it never changes within a cluster version.
class Digest {
 public:
  explicit Digest(uint64_t seed) : value_(mix(seed ^ 0x5374657070652031u)) {}

  Digest& add(uint64_t word) {
    value_ = mix(value_ ^ word);
    return *this;
  }
  Digest& add(std::string_view text) {
    add(text.size());
    while (text.size() >= 8) {
      add(load_le<uint64_t>(text.data()));
      text.remove_prefix(8);
    }
    uint64_t rest = 0;
    std::memcpy(&rest, text.data(), text.size());
    return add(rest);
  }
  Digest& add(ByteView bytes) { return add(as_text(bytes)); }

  uint64_t value() const { return value_; }

 private:
  static uint64_t mix(uint64_t x) {
    x *= 0x9e3779b97f4a7c15u;
    return x ^ (x >> 29);
  }
  uint64_t value_;
};

}  // namespace steppe::state
