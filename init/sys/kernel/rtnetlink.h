#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "init/base/bytes.h"
#include "init/base/result.h"
#include "init/sys/kernel/fd.h"
#include "init/sys/kernel/ip_prefix.h"

namespace steppe::kernel {

struct NetworkLink {
  int index = 0;
  std::string name;     // at most 15 bytes
  std::string kind;     // "vlan", "bond", "bridge", ...; "" for a device of its own
  std::string address;  // "02:00:5e:10:00:01"; "" where it has none
  uint32_t mtu = 0;
  int master = 0;        // index of the bond or bridge that it belongs to; 0: none
  bool up = false;       // asked to be up
  bool carrier = false;  // and able to carry packets
  bool loopback = false;
};

struct LinkAddress {
  int link = 0;
  IpPrefix prefix;
  bool tentative = false;  // IPv6: still being checked for duplicates
};

struct Route {
  IpPrefix destination;  // "0.0.0.0/0" or "::/0" is the default route
  IpAddress gateway;     // size 0: on the link itself
  int link = 0;          // index; 0: the kernel finds it by the gateway
  uint32_t metric = 0;   // lower wins; 0: the kernel's choice
  bool operator==(const Route&) const = default;
};

enum class BondMode : uint8_t { kRoundRobin = 0, kActiveBackup = 1, kXor = 2, kBroadcast = 3, kLacp = 4, kTlb = 5, kAlb = 6 };

// The network configuration of the namespace in which it was opened, by rtnetlink(7). Changes need CAP_NET_ADMIN there.
// Errors carry the kernel's own words where it has any (extended acknowledgements). What is already as asked is no error.
// Calls block for as long as the kernel takes. One thread at a time.
class RouteSocket {
 public:
  static Result<RouteSocket> open();

  Result<std::vector<NetworkLink>> links();  // by index
  Result<> set_up(int link, bool up);
  Result<> set_mtu(int link, uint32_t mtu);
  Result<> add_vlan(const std::string& name, int parent, uint16_t id);  // id 1..4094 (IEEE 802.1Q)
  Result<> add_bond(const std::string& name, BondMode mode);            // carrier looked at every 100 ms
  // Of a bond or bridge; 0 takes it out. A bond takes only links that are down.
  Result<> set_master(int link, int master);
  Result<> remove_link(int link);

  Result<std::vector<LinkAddress>> addresses();  // by link, then as the kernel lists them
  Result<> add_address(int link, const IpPrefix& prefix);
  Result<> remove_address(int link, const IpPrefix& prefix);

  Result<std::vector<Route>> routes();  // of the main table, unicast
  Result<> add_route(const Route& route);
  Result<> remove_route(const Route& route);

 private:
  explicit RouteSocket(Fd fd) : fd_(std::move(fd)) {}
  Result<> ask(std::vector<std::byte> message, std::string_view what);
  template <class Each>
  Result<> dump(uint16_t type, uint8_t family, std::string_view what, Each each);
  Fd fd_;
  uint32_t sequence_ = 0;
};

// A non-blocking descriptor that is readable whenever a link, address or route changed. What can be read from it is for
// throwing away; ENOBUFS there means that some was.
Result<Fd> watch_network();

}  // namespace steppe::kernel
