#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "init/base/result.h"
#include "init/machine/network/settings.h"

namespace steppe::network {

// What a DHCP server or a router told for one link.
struct Lease {
  std::string link;
  std::string protocol;  // "dhcp", "ra", "dhcp6"
  std::vector<kernel::IpAddress> dns;
  std::vector<std::string> search;
  std::vector<kernel::IpAddress> ntp;
  bool operator==(const Lease&) const = default;
};

// The output of `dhcpcd -U`: lines KEY=VALUE, an empty line between leases. It repeats what strangers on the network said, so
// it is read strictly: a server that is no address and a domain that is no host name are dropped, and so is what passes the
// bounds (256 leases, kMaxServers each). kInvalid for text over 256 KiB.
Result<std::vector<Lease>> read_leases(std::string_view text);

// /etc/resolv.conf (resolv.conf(5)) of the machine: its own servers and domains first, then the leases' in their order, each
// once, at most 3 servers and 6 domains, which is what the C library reads.
std::string resolv_conf(const Settings& settings, const std::vector<Lease>& leases);

// RFC 1123: letters, digits, '-' and '.', labels of 1 to 63, at most 253 in all.
bool is_host_name(std::string_view text);

}  // namespace steppe::network
