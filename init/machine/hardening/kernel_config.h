#pragma once

#include <map>
#include <string>
#include <string_view>

#include "init/base/bytes.h"
#include "init/base/result.h"

namespace steppe::hardening {

// The options of a kernel by name, "CONFIG_BUG" -> "y"; strings keep their quotes. What is not set is not there.
using KernelConfig = std::map<std::string, std::string, std::less<>>;

inline constexpr Bytes kMaxKernelConfig = Bytes::mib(4);

// The text of /boot/config-RELEASE. kCorrupt names a line that is neither a comment nor CONFIG_NAME=VALUE; kExhausted past 4 MiB.
Result<KernelConfig> parse_kernel_config(std::string_view text);

// What the kernel has for a row (table.h): its value, or kNotSet.
std::string kernel_value(const KernelConfig& config, std::string_view name);
// Whether `value` is what `asked` wants: the same, or a list in quotes that holds all of "+a,b".
bool satisfies(std::string_view asked, std::string_view value);

// "6.12.107+deb13-amd64" is not older than "6.8": by the numbers before anything else. An empty `since` is older than all.
bool kernel_at_least(std::string_view release, std::string_view since);

}  // namespace steppe::hardening
