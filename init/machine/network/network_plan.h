#pragma once

#include <string>
#include <variant>
#include <vector>

#include "init/machine/network/settings.h"

namespace steppe::network {

// What the kernel has at one instant.
struct Observed {
  std::vector<kernel::NetworkLink> links;
  std::vector<kernel::LinkAddress> addresses;
  std::vector<kernel::Route> routes;
};

struct MakeBond {
  std::string name;
  kernel::BondMode mode;
  bool operator==(const MakeBond&) const = default;
};
struct MakeVlan {
  std::string name;
  int parent;
  uint16_t id;
  bool operator==(const MakeVlan&) const = default;
};
struct SetUp {
  int link;
  bool up;
  bool operator==(const SetUp&) const = default;
};
struct SetMaster {
  int link, master;
  bool operator==(const SetMaster&) const = default;
};
struct SetMtu {
  int link;
  uint32_t mtu;
  bool operator==(const SetMtu&) const = default;
};
struct AddAddress {
  int link;
  kernel::IpPrefix prefix;
  bool operator==(const AddAddress&) const = default;
};
struct AddRoute {
  kernel::Route route;
  bool operator==(const AddRoute&) const = default;
};
using Action = std::variant<MakeBond, MakeVlan, SetUp, SetMaster, SetMtu, AddAddress, AddRoute>;

// What is to be done next, in order, to bring `observed` nearer to `settings`. Nothing when all that can be done is: a device
// that is not there yet is waited for, and none of the actions is repeated once it shows in `observed`. Addresses and routes
// that something else added are left alone. Pure.
std::vector<Action> next_actions(const Settings& settings, const Observed& observed);

// The names of the links on which addresses are asked for by DHCP, sorted: real devices and what was made, without loopback,
// without members of a bond.
std::vector<std::string> dhcp_links(const Settings& settings, const Observed& observed);

}  // namespace steppe::network
