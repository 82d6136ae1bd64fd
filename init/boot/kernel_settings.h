#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "init/base/result.h"

namespace steppe::boot {

// One line of the image's settings: "net/ipv4/tcp_syncookies 1".
struct KernelSetting {
  std::string_view path;   // below /proc/sys: parts of a-z, 0-9, '_', '.', '-', divided by '/', none of them "." or ".."
  std::string_view value;  // printable ASCII, spaces within
};

// The setting of one line. kCorrupt: it is none.
Result<KernelSetting> parse_setting(std::string_view line);

inline constexpr size_t kMaxSettings = 256;
inline constexpr size_t kMaxSettingsFile = 16 * 1024;

// Writes the settings of `file`, which comes from the image's signed root, below the open directory `proc_sys`, in their order.
// Each that cannot be applied is told by one call of `problem` (context, line) and does not keep the others from it. Returns how many
// were applied. The error: the file cannot be read, is past a bound, or has a line that is no setting (those before it are applied).
using SettingProblem = void (*)(void* context, std::string_view line);
Result<size_t> apply_settings(const char* file, int proc_sys, SettingProblem problem, void* context);

}  // namespace steppe::boot
