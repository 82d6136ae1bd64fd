#include "init/sys/device/interfaces.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <map>

namespace steppe::device {
namespace {

uint8_t prefix_length(const uint8_t* mask, size_t size) {
  unsigned bits = 0;
  for (size_t i = 0; i < size; ++i) bits += static_cast<unsigned>(std::popcount(mask[i]));
  return static_cast<uint8_t>(bits);
}

}  // namespace

Result<std::vector<Interface>> enumerate_interfaces() {
  ifaddrs* all = nullptr;
  if (::getifaddrs(&all) != 0) return Error::from_errno(errno, "list network interfaces");
  std::map<std::string, Interface> found;
  for (ifaddrs* entry = all; entry != nullptr; entry = entry->ifa_next) {
    Interface& one = found[entry->ifa_name];
    one.name = entry->ifa_name;
    one.up = (entry->ifa_flags & IFF_UP) != 0;
    one.loopback = (entry->ifa_flags & IFF_LOOPBACK) != 0;
    if (entry->ifa_addr == nullptr) continue;
    char text[INET6_ADDRSTRLEN] = {};
    InterfaceAddress address;
    if (entry->ifa_addr->sa_family == AF_INET) {
      auto* v4 = reinterpret_cast<sockaddr_in*>(entry->ifa_addr);
      ::inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text);
      auto* mask = reinterpret_cast<sockaddr_in*>(entry->ifa_netmask);
      if (mask != nullptr) address.prefix = prefix_length(reinterpret_cast<const uint8_t*>(&mask->sin_addr), 4);
      address.link_local = (ntohl(v4->sin_addr.s_addr) >> 16) == 0xa9fe;
    } else if (entry->ifa_addr->sa_family == AF_INET6) {
      auto* v6 = reinterpret_cast<sockaddr_in6*>(entry->ifa_addr);
      ::inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text);
      auto* mask = reinterpret_cast<sockaddr_in6*>(entry->ifa_netmask);
      if (mask != nullptr) address.prefix = prefix_length(mask->sin6_addr.s6_addr, 16);
      address.ipv6 = true;
      address.link_local = IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr);
    } else {
      continue;
    }
    address.text = text;
    one.addresses.push_back(std::move(address));
  }
  ::freeifaddrs(all);
  std::vector<Interface> out;
  for (auto& [name, one] : found) {
    std::ranges::stable_sort(one.addresses, {}, &InterfaceAddress::ipv6);
    out.push_back(std::move(one));
  }
  return out;
}

int landlock_version() {
  constexpr unsigned kVersionFlag = 1;  // LANDLOCK_CREATE_RULESET_VERSION
  long version = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, kVersionFlag);
  return version < 0 ? 0 : static_cast<int>(version);
}

}  // namespace steppe::device
