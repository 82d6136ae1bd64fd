#pragma once

#include <string>
#include <vector>

namespace steppe::node {

// steppe-node network [-run DIR] [-dhcp PROGRAM] [-kind KIND]: keeps the machine's network as it is wanted (machine/network) until SIGTERM.
// Without a configuration that is DHCP on every device. Tells its supervisor READY=1 when some link has an address, after 5 s
// in any case, and what it has as STATUS. DIR, /run/steppe/network by default, gets resolv.conf; links of KIND
// count as devices (network::Settings::device_kind). The exit code: 0 after SIGTERM or SIGINT, 1 when the
// network cannot be asked for, 2 for words that it does not know.
int network_command(const std::vector<std::string>& words);

}  // namespace steppe::node
