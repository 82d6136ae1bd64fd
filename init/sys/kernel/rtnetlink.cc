#include "init/sys/kernel/rtnetlink.h"

#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <format>
#include <string_view>

namespace steppe::kernel {
namespace {

constexpr size_t kMaxAnswers = 65'536;  // of one dump: links, addresses, routes
constexpr uint32_t kBondLookMs = 100;

using Message = std::vector<std::byte>;

void put(Message& message, const void* data, size_t size) {
  const auto* bytes = static_cast<const std::byte*>(data);
  message.insert(message.end(), bytes, bytes + size);
  message.resize(NLMSG_ALIGN(message.size()));
}

// Header and body. The length is set when it is sent.
template <class Body>
Message begin(uint16_t type, uint16_t flags, const Body& body) {
  nlmsghdr head{};
  head.nlmsg_type = type;
  head.nlmsg_flags = NLM_F_REQUEST | flags;
  Message out;
  put(out, &head, sizeof head);
  put(out, &body, sizeof body);
  return out;
}

void attribute(Message& message, uint16_t type, const void* data, size_t size) {
  const rtattr head{static_cast<uint16_t>(RTA_LENGTH(size)), type};
  const auto* bytes = reinterpret_cast<const std::byte*>(&head);
  message.insert(message.end(), bytes, bytes + sizeof head);
  put(message, data, size);
}
template <class Number>
void number(Message& message, uint16_t type, Number value) {
  attribute(message, type, &value, sizeof value);
}
void text(Message& message, uint16_t type, const std::string& value) { attribute(message, type, value.c_str(), value.size() + 1); }
void address(Message& message, uint16_t type, const IpAddress& value) { attribute(message, type, value.bytes.data(), value.size); }

// An attribute of attributes: end() gives it its length.
class Nest {
 public:
  Nest(Message& message, uint16_t type) : message_(message), at_(message.size()) { attribute(message, type, nullptr, 0); }
  void end() {
    const auto length = static_cast<uint16_t>(message_.size() - at_);
    std::memcpy(message_.data() + at_ + offsetof(rtattr, rta_len), &length, sizeof length);
  }

 private:
  Message& message_;
  size_t at_;
};

uint8_t family_of(const IpAddress& ip) { return ip.size == 16 ? AF_INET6 : AF_INET; }

// The attributes of one answer, by type; each is looked at only within its bounds.
class Attributes {
 public:
  Attributes(std::span<const std::byte> bytes) {
    while (bytes.size() >= sizeof(rtattr)) {
      rtattr head;
      std::memcpy(&head, bytes.data(), sizeof head);
      if (head.rta_len < sizeof head || head.rta_len > bytes.size()) return;
      entries_.emplace_back(head.rta_type & NLA_TYPE_MASK, bytes.subspan(sizeof head, head.rta_len - sizeof head));
      bytes = bytes.subspan(std::min<size_t>(RTA_ALIGN(head.rta_len), bytes.size()));
    }
  }
  std::span<const std::byte> find(uint16_t type) const {
    for (const auto& [have, bytes] : entries_) {
      if (have == type) return bytes;
    }
    return {};
  }
  template <class Number = uint32_t>
  Number value(uint16_t type, Number otherwise = 0) const {
    const auto bytes = find(type);
    if (bytes.size() < sizeof(Number)) return otherwise;
    Number out;
    std::memcpy(&out, bytes.data(), sizeof out);
    return out;
  }
  std::string text(uint16_t type) const {
    const auto bytes = find(type);
    std::string_view view(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return std::string(view.substr(0, view.find('\0')));
  }
  IpAddress ip(uint16_t type) const {
    const auto bytes = find(type);
    IpAddress out;
    if (bytes.size() != 4 && bytes.size() != 16) return out;
    out.size = static_cast<uint8_t>(bytes.size());
    std::memcpy(out.bytes.data(), bytes.data(), bytes.size());
    return out;
  }

 private:
  std::vector<std::pair<uint16_t, std::span<const std::byte>>> entries_;
};

Error refusal(const nlmsghdr& head, std::span<const std::byte> body, std::string_view what) {
  int32_t code = 0;
  std::memcpy(&code, body.data(), sizeof code);
  Error out = Error::from_errno(-code, what);
  // struct nlmsgerr: the code, then the head of what was asked (all of it unless capped), then attributes.
  if (!(head.nlmsg_flags & NLM_F_ACK_TLVS) || body.size() < sizeof(nlmsgerr)) return out;
  nlmsgerr error;
  std::memcpy(&error, body.data(), sizeof error);
  size_t skip = sizeof(nlmsgerr);
  if (!(head.nlmsg_flags & NLM_F_CAPPED) && error.msg.nlmsg_len > sizeof(nlmsghdr)) skip += NLMSG_ALIGN(error.msg.nlmsg_len) - sizeof(nlmsghdr);
  if (skip >= body.size()) return out;
  const std::string words = Attributes(body.subspan(skip)).text(NLMSGERR_ATTR_MSG);
  return words.empty() ? std::move(out) : Error::from_errno(-code, std::format("{} ({})", what, words));
}

}  // namespace

Result<RouteSocket> RouteSocket::open() {
  Fd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!fd) return Error::from_errno(errno, "open a routing socket");
  for (int option : {NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK}) {
    const int on = 1;
    (void)::setsockopt(fd.get(), SOL_NETLINK, option, &on, sizeof on);  // older kernels do without
  }
  return RouteSocket(std::move(fd));
}

template <class Each>
Result<> RouteSocket::dump(uint16_t type, uint8_t family, std::string_view what, Each each) {
  // Each table's own body, as NETLINK_GET_STRICT_CHK asks for.
  Message message = type == RTM_GETLINK   ? begin(type, NLM_F_DUMP, ifinfomsg{.ifi_family = family})
                    : type == RTM_GETADDR ? begin(type, NLM_F_DUMP, ifaddrmsg{.ifa_family = family})
                                          : begin(type, NLM_F_DUMP, rtmsg{.rtm_family = family});
  auto* head = reinterpret_cast<nlmsghdr*>(message.data());
  head->nlmsg_len = static_cast<uint32_t>(message.size());
  head->nlmsg_seq = ++sequence_;
  if (::send(fd_.get(), message.data(), message.size(), 0) < 0) return Error::from_errno(errno, what);
  alignas(nlmsghdr) std::byte buffer[32768];
  for (size_t answers = 0;;) {
    const ssize_t n = ::recv(fd_.get(), buffer, sizeof buffer, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Error::from_errno(errno, what);
    std::span<const std::byte> rest(buffer, static_cast<size_t>(n));
    while (rest.size() >= sizeof(nlmsghdr)) {
      nlmsghdr got;
      std::memcpy(&got, rest.data(), sizeof got);
      if (got.nlmsg_len < sizeof got || got.nlmsg_len > rest.size()) return Error(Code::kCorrupt, std::format("{}: an answer was cut", what));
      const auto body = rest.subspan(sizeof got, got.nlmsg_len - sizeof got);
      rest = rest.subspan(std::min<size_t>(NLMSG_ALIGN(got.nlmsg_len), rest.size()));
      if (got.nlmsg_seq != sequence_) continue;  // of something that was given up
      if (got.nlmsg_type == NLMSG_DONE) return {};
      if (got.nlmsg_type == NLMSG_ERROR && body.size() >= sizeof(int32_t)) return refusal(got, body, what);
      if (++answers > kMaxAnswers) return Error(Code::kExhausted, std::format("{}: more than {} answers", what, kMaxAnswers));
      each(body);
    }
  }
}

Result<> RouteSocket::ask(Message message, std::string_view what) {
  auto* head = reinterpret_cast<nlmsghdr*>(message.data());
  head->nlmsg_len = static_cast<uint32_t>(message.size());
  head->nlmsg_flags |= NLM_F_ACK;
  head->nlmsg_seq = ++sequence_;
  if (::send(fd_.get(), message.data(), message.size(), 0) < 0) return Error::from_errno(errno, what);
  alignas(nlmsghdr) std::byte buffer[8192];
  for (;;) {
    const ssize_t n = ::recv(fd_.get(), buffer, sizeof buffer, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Error::from_errno(errno, what);
    if (static_cast<size_t>(n) < sizeof(nlmsghdr) + sizeof(int32_t)) continue;
    nlmsghdr got;
    std::memcpy(&got, buffer, sizeof got);
    if (got.nlmsg_seq != sequence_ || got.nlmsg_type != NLMSG_ERROR) continue;
    int32_t code = 0;
    std::memcpy(&code, buffer + sizeof got, sizeof code);
    if (code == 0) return {};
    return refusal(got, std::span<const std::byte>(buffer, static_cast<size_t>(n)).subspan(sizeof got), what);
  }
}

Result<std::vector<NetworkLink>> RouteSocket::links() {
  std::vector<NetworkLink> out;
  STEPPE_TRY_VOID(dump(RTM_GETLINK, AF_UNSPEC, "list the network links", [&](std::span<const std::byte> body) {
    if (body.size() < sizeof(ifinfomsg)) return;
    ifinfomsg info;
    std::memcpy(&info, body.data(), sizeof info);
    const Attributes have(body.subspan(NLMSG_ALIGN(sizeof info)));
    NetworkLink link;
    link.index = info.ifi_index;
    link.name = have.text(IFLA_IFNAME);
    link.kind = Attributes(have.find(IFLA_LINKINFO)).text(IFLA_INFO_KIND);
    for (std::byte part : have.find(IFLA_ADDRESS)) link.address += std::format("{}{:02x}", link.address.empty() ? "" : ":", static_cast<unsigned>(part));
    link.mtu = have.value(IFLA_MTU);
    link.master = static_cast<int>(have.value(IFLA_MASTER));
    link.up = (info.ifi_flags & IFF_UP) != 0;
    link.carrier = link.up && have.value<uint8_t>(IFLA_CARRIER) != 0;
    link.loopback = (info.ifi_flags & IFF_LOOPBACK) != 0;
    out.push_back(std::move(link));
  }));
  std::ranges::sort(out, {}, &NetworkLink::index);
  return out;
}

Result<> RouteSocket::set_up(int link, bool up) {
  return ask(begin(RTM_NEWLINK, 0, ifinfomsg{.ifi_index = link, .ifi_flags = up ? static_cast<unsigned>(IFF_UP) : 0U, .ifi_change = IFF_UP}),
             std::format("set link {} {}", link, up ? "up" : "down"));
}

Result<> RouteSocket::set_mtu(int link, uint32_t mtu) {
  Message message = begin(RTM_NEWLINK, 0, ifinfomsg{.ifi_index = link});
  number(message, IFLA_MTU, mtu);
  return ask(std::move(message), std::format("set the MTU of link {} to {}", link, mtu));
}

Result<> RouteSocket::add_vlan(const std::string& name, int parent, uint16_t id) {
  Message message = begin(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, ifinfomsg{});
  number(message, IFLA_LINK, parent);
  text(message, IFLA_IFNAME, name);
  Nest info(message, IFLA_LINKINFO);
  text(message, IFLA_INFO_KIND, "vlan");
  Nest data(message, IFLA_INFO_DATA);
  number(message, IFLA_VLAN_ID, id);
  data.end();
  info.end();
  return ask(std::move(message), std::format("make VLAN {} with id {}", name, id));
}

Result<> RouteSocket::add_bond(const std::string& name, BondMode mode) {
  Message message = begin(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, ifinfomsg{});
  text(message, IFLA_IFNAME, name);
  Nest info(message, IFLA_LINKINFO);
  text(message, IFLA_INFO_KIND, "bond");
  Nest data(message, IFLA_INFO_DATA);
  number(message, IFLA_BOND_MODE, static_cast<uint8_t>(mode));
  number(message, IFLA_BOND_MIIMON, kBondLookMs);
  data.end();
  info.end();
  return ask(std::move(message), std::format("make bond {}", name));
}

Result<> RouteSocket::set_master(int link, int master) {
  Message message = begin(RTM_NEWLINK, 0, ifinfomsg{.ifi_index = link});
  number(message, IFLA_MASTER, master);
  return ask(std::move(message), std::format("put link {} under link {}", link, master));
}

Result<> RouteSocket::remove_link(int link) { return ask(begin(RTM_DELLINK, 0, ifinfomsg{.ifi_index = link}), std::format("remove link {}", link)); }

Result<std::vector<LinkAddress>> RouteSocket::addresses() {
  std::vector<LinkAddress> out;
  STEPPE_TRY_VOID(dump(RTM_GETADDR, AF_UNSPEC, "list the network addresses", [&](std::span<const std::byte> body) {
    if (body.size() < sizeof(ifaddrmsg)) return;
    ifaddrmsg info;
    std::memcpy(&info, body.data(), sizeof info);
    const Attributes have(body.subspan(NLMSG_ALIGN(sizeof info)));
    LinkAddress found;
    found.link = static_cast<int>(info.ifa_index);
    // On a point-to-point link IFA_ADDRESS is the other end's.
    found.prefix.address = have.ip(IFA_LOCAL);
    if (found.prefix.address.size == 0) found.prefix.address = have.ip(IFA_ADDRESS);
    found.prefix.length = info.ifa_prefixlen;
    found.tentative = (have.value(IFA_FLAGS, static_cast<uint32_t>(info.ifa_flags)) & IFA_F_TENTATIVE) != 0;
    if (found.prefix.address.size != 0) out.push_back(found);
  }));
  std::ranges::stable_sort(out, {}, &LinkAddress::link);
  return out;
}

Result<> RouteSocket::add_address(int link, const IpPrefix& prefix) {
  const uint8_t family = family_of(prefix.address);
  Message message = begin(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, ifaddrmsg{family, prefix.length, 0, 0, static_cast<uint32_t>(link)});
  address(message, IFA_LOCAL, prefix.address);
  address(message, IFA_ADDRESS, prefix.address);
  if (prefix.address.size == 4 && prefix.length < 31) {  // RFC 3021: none on a link of two
    IpAddress everyone = prefix.address;
    for (unsigned bit = prefix.length; bit < 32; ++bit) everyone.bytes[bit / 8] |= static_cast<uint8_t>(0x80u >> (bit % 8));
    address(message, IFA_BROADCAST, everyone);
  }
  return ask(std::move(message), std::format("add {} to link {}", prefix.text(), link));
}

Result<> RouteSocket::remove_address(int link, const IpPrefix& prefix) {
  Message message = begin(RTM_DELADDR, 0, ifaddrmsg{family_of(prefix.address), prefix.length, 0, 0, static_cast<uint32_t>(link)});
  address(message, IFA_LOCAL, prefix.address);
  Result<> done = ask(std::move(message), std::format("remove {} from link {}", prefix.text(), link));
  if (!done.ok() && done.error().sys_errno() == EADDRNOTAVAIL) return {};
  return done;
}

Result<std::vector<Route>> RouteSocket::routes() {
  std::vector<Route> out;
  for (uint8_t family : {AF_INET, AF_INET6}) {
    Result<> done = dump(RTM_GETROUTE, family, "list the routes", [&](std::span<const std::byte> body) {
      if (body.size() < sizeof(rtmsg)) return;
      rtmsg info;
      std::memcpy(&info, body.data(), sizeof info);
      const Attributes have(body.subspan(NLMSG_ALIGN(sizeof info)));
      if (info.rtm_type != RTN_UNICAST || have.value(RTA_TABLE, static_cast<uint32_t>(info.rtm_table)) != RT_TABLE_MAIN || (info.rtm_flags & RTM_F_CLONED)) return;
      Route route;
      route.destination.address = have.ip(RTA_DST);
      route.destination.address.size = family == AF_INET ? 4 : 16;  // the default route has no RTA_DST
      route.destination.length = info.rtm_dst_len;
      route.gateway = have.ip(RTA_GATEWAY);
      route.link = static_cast<int>(have.value(RTA_OIF));
      route.metric = have.value(RTA_PRIORITY);
      out.push_back(route);
    });
    STEPPE_TRY_VOID(std::move(done));
  }
  return out;
}

namespace {

Message route_message(uint16_t type, uint16_t flags, const Route& route) {
  rtmsg info{};
  info.rtm_family = family_of(route.destination.address);
  info.rtm_dst_len = route.destination.length;
  info.rtm_table = RT_TABLE_MAIN;
  info.rtm_protocol = RTPROT_STATIC;
  info.rtm_scope = route.gateway.size == 0 && route.destination.address.size == 4 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
  info.rtm_type = RTN_UNICAST;
  Message message = begin(type, flags, info);
  if (route.destination.length != 0) address(message, RTA_DST, route.destination.address);
  if (route.gateway.size != 0) address(message, RTA_GATEWAY, route.gateway);
  if (route.link != 0) number(message, RTA_OIF, route.link);
  if (route.metric != 0) number(message, RTA_PRIORITY, route.metric);
  return message;
}

}  // namespace

Result<> RouteSocket::add_route(const Route& route) {
  return ask(route_message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, route),
             std::format("add the route to {}{}", route.destination.text(), route.gateway.size != 0 ? " by " + route.gateway.text() : ""));
}

Result<> RouteSocket::remove_route(const Route& route) {
  Result<> done = ask(route_message(RTM_DELROUTE, 0, route), std::format("remove the route to {}", route.destination.text()));
  if (!done.ok() && done.error().sys_errno() == ESRCH) return {};
  return done;
}

Result<Fd> watch_network() {
  Fd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE));
  if (!fd) return Error::from_errno(errno, "open a routing socket");
  sockaddr_nl groups{};
  groups.nl_family = AF_NETLINK;
  groups.nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE;
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&groups), sizeof groups) != 0) return Error::from_errno(errno, "watch the network");
  return fd;
}

}  // namespace steppe::kernel
