#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "init/base/result.h"

namespace steppe::kernel {

// An IPv4 or IPv6 address, in network order: 4 or 16 bytes.
struct IpAddress {
  uint8_t size = 0;  // 4, 16; 0: none
  std::array<uint8_t, 16> bytes{};

  // "10.0.0.7", "fd00::7" (RFC 4291, RFC 5952); no zone, no port. kInvalid otherwise.
  static Result<IpAddress> parse(std::string_view text);
  std::string text() const;
  bool operator==(const IpAddress&) const = default;
};

// An address and how many of its leading bits are the network's: "10.0.0.7/24", "fd00::7/64", "0.0.0.0/0".
struct IpPrefix {
  IpAddress address;
  uint8_t length = 0;  // 0..32, 0..128

  // Without "/N" the whole address. kInvalid otherwise.
  static Result<IpPrefix> parse(std::string_view text);
  std::string text() const;
  bool operator==(const IpPrefix&) const = default;
};

}  // namespace steppe::kernel
