#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "init/base/result.h"

namespace steppe::kernel {

// A set of capabilities (capabilities(7)), one bit each.
using CapabilitySet = uint64_t;

inline constexpr CapabilitySet capability_bit(int number) { return 1ull << number; }

// "chown", "CHOWN" and "CAP_CHOWN" are the same. kInvalid for an unknown name; "all" is every one the kernel knows.
Result<CapabilitySet> capability_from_name(std::string_view name);
std::string capability_name(int number);                             // "CAP_CHOWN"
std::vector<std::string> capability_names(CapabilitySet set);        // ascending by number
int last_capability();                                               // the kernel's, /proc/sys/kernel/cap_last_cap

}  // namespace steppe::kernel
