#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "init/base/result.h"
#include "init/machine/network/settings.h"

namespace steppe::node {

inline constexpr size_t kMaxConsoleLine = 256;  // bytes

// What somebody typed on the console of a machine that waits for its configuration:
//
//   address 192.0.2.5/24 [gateway 192.0.2.1] [dns 192.0.2.2] [device eth0]
//   show
//   help
struct ConsoleLine {
  enum class Kind : uint8_t { kNothing, kHelp, kShow, kAddress };
  Kind kind = Kind::kNothing;
  network::LinkSettings link;  // of kAddress; match.name is "" when no device was named
  std::vector<kernel::IpAddress> dns;
};

// kInvalid says what was expected. Pure.
Result<ConsoleLine> read_console_line(std::string_view line);

inline constexpr std::string_view kConsoleHelp =
    "This machine waits for its configuration. There are:\n"
    "  address ADDRESS/LENGTH [gateway ADDRESS] [dns ADDRESS] [device NAME]\n"
    "  show\n"
    "  help\n";

}  // namespace steppe::node
