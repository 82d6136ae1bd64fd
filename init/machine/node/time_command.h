#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace steppe::node {

// steppe-node time [-run DIR] [-ntpd PROGRAM]: keeps the machine's clock by ntpd (Debian's openntpd) until SIGTERM. The servers are those
// of DIR/time/servers (`steppe-node machine` writes them; configure.h, time_servers()), pool.ntp.org without that file; when it changes,
// ntpd starts anew with them. It sets the clock at its start when that is off by more than three minutes (-s), and slews from then on.
// Where no server answers within its 15 s it would slew for years: it is started again, at first after 5 s, at last every 5 minutes.
//
// Tells its supervisor READY=1 at once, so nothing waits for it, and STATUS when the clock was set or is first adjusted. The exit code: 0
// after SIGTERM or SIGINT, 1 when it cannot serve, 2 for words that it does not know.
int time_command(const std::vector<std::string>& words);

// ntpd.conf(5) of the lines of DIR/time/servers: "server HOST", "servers HOST". It listens nowhere. A port is left out, as ntpd knows only
// its own; lines that are neither, and hosts with other bytes than names and addresses have, are passed over. At most 16. Pure.
std::string ntpd_config(std::string_view servers);

// What a line of ntpd's output means. Pure.
enum class NtpdSaid : uint8_t { kOther, kNoReply, kClockSet, kAdjusting };
NtpdSaid ntpd_said(std::string_view line);

}  // namespace steppe::node
