#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "init/base/result.h"

namespace steppe::device {

struct InterfaceAddress {
  std::string text;   // "10.0.0.5", "fe80::1"
  uint8_t prefix = 0;
  bool ipv6 = false, link_local = false;
};

struct Interface {
  std::string name;
  bool up = false, loopback = false;
  std::vector<InterfaceAddress> addresses;  // IPv4 first, in the kernel's order
};

// The network interfaces of our network namespace, by name.
Result<std::vector<Interface>> enumerate_interfaces();

// The Landlock ABI that the kernel offers; 0: none.
int landlock_version();

}  // namespace steppe::device
