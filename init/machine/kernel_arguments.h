#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "init/base/result.h"

namespace steppe::machine {

inline constexpr size_t kMaxCommandLine = 16 << 10;  // bytes
inline constexpr size_t kMaxArguments = 128;         // of ours

// One `steppe.NAME=VALUE` of the kernel's command line, an SMBIOS string "steppe:NAME=VALUE", or a fw_cfg file's name and
// content, all the same to what follows.
struct Setting {
  std::string name;   // [a-z0-9_.-]+, at most 64 bytes
  std::string value;  // "" without a '='
  friend bool operator==(const Setting&, const Setting&) = default;
};

// Ours of a command line, in order. As the kernel's parser does (lib/cmdline.c, next_arg), spaces part arguments and double
// quotes keep them together; an argument "--" ends them. Names are taken as they are; what is not ours is passed over. kInvalid
// names the argument that is wrong. Pure; bounded.
Result<std::vector<Setting>> parse_command_line(std::string_view text);

}  // namespace steppe::machine
