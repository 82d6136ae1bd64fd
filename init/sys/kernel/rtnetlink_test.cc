#include "init/sys/kernel/rtnetlink.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

namespace steppe::kernel {
namespace {

IpPrefix prefix(std::string_view text) { return *IpPrefix::parse(text); }

TEST(IpPrefix, ReadsWhatItWrites) {
  for (const char* text : {"10.0.0.7/24", "0.0.0.0/0", "255.255.255.255/32", "fd00::7/64", "::/0", "2001:db8::1/128"}) {
    auto parsed = IpPrefix::parse(text);
    ASSERT_TRUE(parsed.ok()) << text;
    EXPECT_EQ(parsed->text(), text);
  }
  EXPECT_EQ(prefix("10.0.0.7").length, 32);
  EXPECT_EQ(prefix("fd00::7").length, 128);
}

TEST(IpPrefix, RefusesTheRest) {
  for (const char* text : {"", "10.0.0", "10.0.0.256", "10.0.0.7/", "10.0.0.7/33", "10.0.0.7/-1", "10.0.0.7/+1", "10.0.0.7/ 8", "10.0.0.7/24/8", "fd00::7/129",
                           "fe80::1%eth0", "[fd00::7]", "host", "10.0.0.7 ", "0x0a000007", "10.0.0.7/4294967320"}) {
    EXPECT_FALSE(IpPrefix::parse(text).ok()) << text;
  }
  EXPECT_EQ(IpPrefix::parse("10.0.0.7/33").error().message(), "\"10.0.0.7/33\": the network's length is a number from 0 to 32");
  EXPECT_EQ(IpPrefix::parse(std::string(1000, '1')).error().message(), "\"" + std::string(64, '1') + "\" is not an IP address");
}

// Everything happens in a network namespace of the test's own, which ends with its thread.
template <class Work>
void in_own_network(Work work) {
  if (::geteuid() != 0) GTEST_SKIP() << "network namespaces need root";
  std::thread([&] {
    ASSERT_EQ(::unshare(CLONE_NEWNET), 0);
    auto socket = RouteSocket::open();
    ASSERT_TRUE(socket.ok()) << socket.error().message();
    work(*socket);
  }).join();
}

std::optional<NetworkLink> find(RouteSocket& net, std::string_view name) {
  auto links = net.links();
  EXPECT_TRUE(links.ok());
  auto found = std::ranges::find(*links, name, &NetworkLink::name);
  return found == links->end() ? std::nullopt : std::optional(*found);
}
void expect_ok(const Result<>& result) { EXPECT_TRUE(result.ok()) << result.error().message(); }

TEST(RouteSocket, SetsLinksUpAndAddresses) {
  in_own_network([](RouteSocket& net) {
    auto lo = find(net, "lo");
    ASSERT_TRUE(lo);
    EXPECT_TRUE(lo->loopback);
    EXPECT_FALSE(lo->up);
    expect_ok(net.set_up(lo->index, true));
    lo = find(net, "lo");
    EXPECT_TRUE(lo->up && lo->carrier);
    expect_ok(net.add_address(lo->index, prefix("10.7.0.1/24")));
    expect_ok(net.add_address(lo->index, prefix("10.7.0.1/24")));  // again: as asked already
    expect_ok(net.add_address(lo->index, prefix("fd00:7::1/64")));
    std::vector<std::string> have;
    for (const LinkAddress& found : *net.addresses()) have.push_back(found.prefix.text());
    std::ranges::sort(have);
    EXPECT_EQ(have, (std::vector<std::string>{"10.7.0.1/24", "127.0.0.1/8", "::1/128", "fd00:7::1/64"}));
    expect_ok(net.remove_address(lo->index, prefix("10.7.0.1/24")));
    expect_ok(net.remove_address(lo->index, prefix("10.7.0.1/24")));
    EXPECT_EQ(net.addresses()->size(), 3U);
    expect_ok(net.set_mtu(lo->index, 9000));
    EXPECT_EQ(find(net, "lo")->mtu, 9000U);
    expect_ok(net.set_up(lo->index, false));
    EXPECT_FALSE(find(net, "lo")->up);
  });
}

TEST(RouteSocket, RoutesComeAndGo) {
  in_own_network([](RouteSocket& net) {
    const int lo = find(net, "lo")->index;
    expect_ok(net.set_up(lo, true));
    expect_ok(net.add_address(lo, prefix("10.7.0.1/24")));
    const Route wanted{prefix("0.0.0.0/0"), *IpAddress::parse("10.7.0.254"), lo, 100};
    const Route six{prefix("2001:db8::/32"), {}, lo, 1024};
    expect_ok(net.add_route(wanted));
    expect_ok(net.add_route(wanted));
    expect_ok(net.add_route(six));
    auto routes = net.routes();
    ASSERT_TRUE(routes.ok());
    EXPECT_EQ(std::ranges::count(*routes, wanted), 1);
    EXPECT_EQ(std::ranges::count(*routes, six), 1);
    expect_ok(net.remove_route(wanted));
    expect_ok(net.remove_route(wanted));
    EXPECT_EQ(std::ranges::count(*net.routes(), wanted), 0);
  });
}

TEST(RouteSocket, SaysWhatTheKernelSaid) {
  in_own_network([](RouteSocket& net) {
    Result<> refused = net.set_up(4711, true);
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().sys_errno(), ENODEV);
    EXPECT_TRUE(refused.error().message().starts_with("set link 4711 up")) << refused.error().message();
    const int lo = find(net, "lo")->index;
    // Not reachable: the kernel's own words come along.
    refused = net.add_route({prefix("0.0.0.0/0"), *IpAddress::parse("10.9.9.9"), lo, 0});
    ASSERT_FALSE(refused.ok());
    EXPECT_TRUE(refused.error().message().starts_with("add the route to 0.0.0.0/0 by 10.9.9.9 (")) << refused.error().message();
    refused = net.set_mtu(lo, 1);
    EXPECT_TRUE(refused.ok() || refused.error().message().starts_with("set the MTU of link")) << refused.error().message();
    EXPECT_TRUE(net.links().ok()) << "a refusal leaves nothing unread";
  });
}

TEST(RouteSocket, MakesVlansAndBonds) {
  in_own_network([](RouteSocket& net) {
    Result<> bond = net.add_bond("bond7", BondMode::kActiveBackup);
    if (!bond.ok() && bond.error().sys_errno() == EOPNOTSUPP) GTEST_SKIP() << "this kernel has no bonding";
    expect_ok(bond);
    auto made = find(net, "bond7");
    ASSERT_TRUE(made);
    EXPECT_EQ(made->kind, "bond");
    EXPECT_EQ(made->address.size(), 17U);
    Result<> vlan = net.add_vlan("bond7.5", made->index, 5);
    if (!vlan.ok() && vlan.error().sys_errno() == EOPNOTSUPP) GTEST_SKIP() << "this kernel has no VLANs";
    expect_ok(vlan);
    EXPECT_EQ(find(net, "bond7.5")->kind, "vlan");
    EXPECT_FALSE(net.add_vlan("bond7.5", made->index, 6).ok()) << "the name is taken";
    EXPECT_FALSE(net.add_vlan("bond7.6", made->index, 5).ok()) << "the id is taken";
    expect_ok(net.remove_link(find(net, "bond7.5")->index));
    EXPECT_FALSE(find(net, "bond7.5"));
  });
}

}  // namespace
}  // namespace steppe::kernel
