#pragma once

#include <bit>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "init/base/result.h"

namespace steppe {

using ByteView = std::span<const std::byte>;
using ByteSpan = std::span<std::byte>;

inline ByteView as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}
inline std::string_view as_text(ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// A count of bytes: sizes, offsets, limits.
struct Bytes {
  uint64_t count = 0;
  friend auto operator<=>(Bytes, Bytes) = default;
  static constexpr Bytes kib(uint64_t n) { return {n << 10}; }
  static constexpr Bytes mib(uint64_t n) { return {n << 20}; }
  static constexpr Bytes gib(uint64_t n) { return {n << 30}; }
};

// Little-endian integers at unaligned places. The caller checked that sizeof(T) bytes are there.
template <class T>
T load_le(const void* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  static_assert(std::endian::native == std::endian::little);
  return value;
}
template <class T>
void store_le(void* to, T value) {
  std::memcpy(to, &value, sizeof value);
}

std::string hex(ByteView bytes);                         // lower case
Result<std::string> unhex(std::string_view text);        // even length, either case
std::string base64(ByteView bytes);                      // RFC 4648 section 4, padded
Result<std::string> unbase64(std::string_view text);     // padded, standard alphabet; strict

// CRC-32C (Castagnoli, RFC 3720 appendix B.4). crc32c(b, crc32c(a)) is the checksum of a then b.
// Uses the processor's instruction where there is one.
uint32_t crc32c(ByteView bytes, uint32_t seed = 0);

}  // namespace steppe
