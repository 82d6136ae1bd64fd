#pragma once

#include <string>
#include <vector>

namespace steppe::node {

// steppe-node machine [-run DIR] [-root DIR] [-agent PROGRAM] [-dhcp PROGRAM] [-kind KIND] [-port N]: finds the machine's configuration
// (machine/sources.h), writes the agent's part of it to DIR/agent.d, sets the host name, and keeps the network as it is wanted
// (machine/network) until SIGTERM. What is wrong with a source is said, line by line, and left out; an `agent` block that the agent
// refuses is, too. Without a configuration that is enough (Configuration::complete) there is DHCP on every device, and maintenance
// mode (machine_flow.h), which answers on port N, 4646.
//
// Tells its supervisor READY=1 when some link has an address, after 5 s in any case, X_STEPPE_HOLD=1 until the agent may start, and
// what it has as STATUS. DIR is /run/steppe by default; sources are looked for below the root, "/"; links of KIND count as devices
// (network::Settings::device_kind). The exit code: 0 after SIGTERM or SIGINT, 1 when the network cannot be asked for, 2 for
// words that it does not know.
int machine_command(const std::vector<std::string>& words);

}  // namespace steppe::node
