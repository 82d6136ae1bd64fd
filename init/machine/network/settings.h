#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "init/sys/kernel/ip_prefix.h"
#include "init/sys/kernel/rtnetlink.h"

namespace steppe::network {

inline constexpr size_t kMaxLinks = 64;       // settings of one machine
inline constexpr size_t kMaxServers = 8;      // DNS servers, search domains

// Which device of the machine is meant. Names change between kernels and slots; the hardware address does not. All that is
// given must match.
struct Match {
  std::string name;     // a pattern of '*' and '?'; "": any
  std::string address;  // "02:00:5e:10:00:01", lower case; "": any
  bool operator==(const Match&) const = default;
};

struct Vlan {
  std::string parent;  // a link's name
  uint16_t id = 0;     // 1..4094
  bool operator==(const Vlan&) const = default;
};

struct Bond {
  kernel::BondMode mode = kernel::BondMode::kActiveBackup;
  std::vector<Match> members;
  bool operator==(const Bond&) const = default;
};

struct RouteSettings {
  kernel::IpPrefix destination;
  kernel::IpAddress gateway;  // size 0: on the link
  uint32_t metric = 0;
  bool operator==(const RouteSettings&) const = default;
};

// What one link shall be. Exactly one of: found by `match`, made as `vlan`, made as `bond`.
struct LinkSettings {
  Match match;
  std::string name;  // of what is made; at most 15 bytes
  std::optional<Vlan> vlan;
  std::optional<Bond> bond;
  bool dhcp = true;  // addresses by DHCP and router advertisements, beside those below
  std::vector<kernel::IpPrefix> addresses;
  std::vector<RouteSettings> routes;
  uint32_t mtu = 0;  // 0: as it is
  bool operator==(const LinkSettings&) const = default;
};

// The whole network of a machine. A device that no link settings match is asked for by DHCP when `others_by_dhcp`, which is
// how a machine without a configuration finds its network: on all devices at once, and the first lease serves.
struct Settings {
  std::vector<LinkSettings> links;
  std::vector<kernel::IpAddress> dns;      // before those of leases
  std::vector<std::string> search;         // domains
  bool others_by_dhcp = true;
  // A device is a link that nothing made (kernel::NetworkLink::kind is empty), or one of this kind: in a network namespace all
  // that there is may be "veth".
  std::string device_kind;
  bool operator==(const Settings&) const = default;
};

}  // namespace steppe::network
