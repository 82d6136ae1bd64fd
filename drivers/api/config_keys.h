#pragma once

#include <span>
#include <string_view>

namespace steppe::drivers {

// The keys that a task's `config` block may hold under this driver, sorted: what its ConfigReader asks for. Empty for
// drivers that are not built here, of whose keys nothing is known. A job is judged by it where it is submitted, long
// before the driver itself sees the block; config_keys_test.cc holds both against each other.
std::span<const std::string_view> config_keys(std::string_view driver);

}  // namespace steppe::drivers
