#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "init/base/rng.h"
#include "init/machine/network/dhcp_config.h"
#include "init/machine/network/lease.h"
#include "init/machine/network/network_plan.h"
#include "init/machine/network/network_service.h"

namespace steppe::network {
namespace {

using kernel::IpAddress;
using kernel::IpPrefix;
using kernel::LinkAddress;
using kernel::NetworkLink;

IpAddress ip(std::string_view text) { return *IpAddress::parse(text); }
IpPrefix prefix(std::string_view text) { return *IpPrefix::parse(text); }

// As much of a kernel as the plan sees: it refuses what the real one refuses.
class ModelKernel {
 public:
  Observed state;

  int plug(const std::string& name, const std::string& address, const std::string& kind = "") {
    NetworkLink link;
    link.index = ++last_;
    link.name = name;
    link.address = address;
    link.kind = kind;
    link.mtu = 1500;
    link.loopback = name == "lo";
    state.links.push_back(link);
    return link.index;
  }
  NetworkLink* link(int index) {
    auto found = std::ranges::find(state.links, index, &NetworkLink::index);
    return found == state.links.end() ? nullptr : &*found;
  }
  NetworkLink* link(std::string_view name) {
    auto found = std::ranges::find(state.links, name, &NetworkLink::name);
    return found == state.links.end() ? nullptr : &*found;
  }

  bool apply(const Action& action) {
    return std::visit([this](const auto& a) { return act(a); }, action);
  }

 private:
  bool act(const MakeBond& a) { return link(a.name) == nullptr && plug(a.name, "02:00:00:00:00:ff", "bond") != 0; }
  bool act(const MakeVlan& a) { return link(a.parent) != nullptr && link(a.name) == nullptr && plug(a.name, link(a.parent)->address, "vlan") != 0; }
  bool act(const SetUp& a) {
    if (link(a.link) == nullptr) return false;
    link(a.link)->up = a.up;
    return true;
  }
  bool act(const SetMaster& a) {
    if (link(a.link) == nullptr || link(a.master) == nullptr || link(a.link)->up) return false;
    link(a.link)->master = a.master;
    link(a.link)->up = true;
    return true;
  }
  bool act(const SetMtu& a) {
    if (link(a.link) == nullptr) return false;
    link(a.link)->mtu = a.mtu;
    return true;
  }
  bool act(const AddAddress& a) {
    if (link(a.link) == nullptr) return false;
    state.addresses.push_back({a.link, a.prefix, false});
    return true;
  }
  bool act(const AddRoute& a) {
    const bool reachable = std::ranges::any_of(state.addresses, [&](const LinkAddress& have) { return have.link == a.route.link; });
    if (link(a.route.link) == nullptr || !link(a.route.link)->up || !reachable) return false;
    state.routes.push_back(a.route);
    return true;
  }
  int last_ = 0;
};

// Rounds until nothing is left to do. Every action must be one the kernel takes.
int settle(const Settings& settings, ModelKernel& kernel) {
  for (int round = 0; round < 10; ++round) {
    const std::vector<Action> actions = next_actions(settings, kernel.state);
    if (actions.empty()) return round;
    for (const Action& action : actions) EXPECT_TRUE(kernel.apply(action)) << "round " << round << ", kind " << action.index();
  }
  ADD_FAILURE() << "it never settles";
  return -1;
}

TEST(NetworkPlan, WithoutSettingsEveryDeviceIsAskedFor) {
  ModelKernel kernel;
  kernel.plug("lo", "");
  kernel.plug("eth1", "02:00:00:00:00:02");
  kernel.plug("eth0", "02:00:00:00:00:01");
  kernel.plug("docker0", "02:00:00:00:00:03", "bridge");
  EXPECT_EQ(settle({}, kernel), 1);
  EXPECT_TRUE(kernel.link("lo")->up && kernel.link("eth0")->up && kernel.link("eth1")->up);
  EXPECT_FALSE(kernel.link("docker0")->up);
  EXPECT_EQ(dhcp_links({}, kernel.state), (std::vector<std::string>{"eth0", "eth1"}));
}

TEST(NetworkPlan, AStaticLinkNeedsNoServer) {
  Settings settings;
  settings.others_by_dhcp = false;
  LinkSettings& link = settings.links.emplace_back();
  link.match.address = "02:00:00:00:00:02";
  link.dhcp = false;
  link.mtu = 9000;
  link.addresses = {prefix("10.0.0.7/24"), prefix("fd00::7/64")};
  link.routes = {{prefix("0.0.0.0/0"), ip("10.0.0.1"), 0}};
  ModelKernel kernel;
  kernel.plug("eth0", "02:00:00:00:00:01");
  EXPECT_EQ(settle(settings, kernel), 0) << "the device is not there yet";
  const int late = kernel.plug("eth1", "02:00:00:00:00:02");
  EXPECT_EQ(settle(settings, kernel), 2) << "the route after the address";
  EXPECT_FALSE(kernel.link("eth0")->up);
  EXPECT_EQ(kernel.link(late)->mtu, 9000U);
  EXPECT_EQ(kernel.state.addresses.size(), 2U);
  EXPECT_EQ(kernel.state.routes, (std::vector<kernel::Route>{{prefix("0.0.0.0/0"), ip("10.0.0.1"), late, 0}}));
  EXPECT_EQ(dhcp_links(settings, kernel.state), std::vector<std::string>());
  // What somebody took away comes back.
  kernel.state.addresses.erase(kernel.state.addresses.begin());
  EXPECT_EQ(settle(settings, kernel), 1);
  EXPECT_EQ(kernel.state.addresses.size(), 2U);
}

TEST(NetworkPlan, AVlanOnABondOfTwo) {
  Settings settings;
  LinkSettings& bond = settings.links.emplace_back();
  bond.name = "bond0";
  bond.bond = Bond{kernel::BondMode::kLacp, {{"eth*", ""}}};
  bond.dhcp = false;
  LinkSettings& vlan = settings.links.emplace_back();
  vlan.name = "bond0.7";
  vlan.vlan = Vlan{"bond0", 7};
  ModelKernel kernel;
  kernel.plug("eth0", "02:00:00:00:00:01");
  kernel.link("eth0")->up = true;
  kernel.plug("eth1", "02:00:00:00:00:02");
  kernel.plug("wan0", "02:00:00:00:00:03");
  EXPECT_GE(settle(settings, kernel), 2);
  const int master = kernel.link("bond0")->index;
  EXPECT_EQ(kernel.link("eth0")->master, master);
  EXPECT_EQ(kernel.link("eth1")->master, master);
  EXPECT_EQ(kernel.link("wan0")->master, 0);
  EXPECT_TRUE(kernel.link("bond0.7")->up);
  EXPECT_EQ(dhcp_links(settings, kernel.state), (std::vector<std::string>{"bond0.7", "wan0"}));
}

// Devices come in any order, at any moment, and some things go again: it always settles, and always in the same state.
TEST(NetworkPlan, SettlesFromAnywhere) {
  Settings settings;
  LinkSettings& bond = settings.links.emplace_back();
  bond.name = "bond0";
  bond.bond = Bond{kernel::BondMode::kActiveBackup, {{"", "02:00:00:00:00:01"}, {"", "02:00:00:00:00:02"}}};
  bond.addresses = {prefix("10.1.0.7/16")};
  LinkSettings& vlan = settings.links.emplace_back();
  vlan.name = "v5";
  vlan.vlan = Vlan{"bond0", 5};
  vlan.dhcp = false;
  vlan.addresses = {prefix("10.5.0.7/24")};
  vlan.routes = {{prefix("10.6.0.0/16"), ip("10.5.0.1"), 50}};
  for (uint64_t seed = 1; seed <= 500; ++seed) {
    SeededRng rng(seed);
    ModelKernel kernel;
    std::vector<std::string> devices = {"lo", "a0", "a1", "a2"};
    while (!devices.empty()) {
      const size_t next = rng.below(devices.size());
      kernel.plug(devices[next], devices[next] == "lo" ? "" : "02:00:00:00:00:0" + std::to_string(1 + devices[next].back() - '0'));
      devices.erase(devices.begin() + static_cast<ptrdiff_t>(next));
      if (rng.chance(1, 2)) kernel.state.links.back().up = true;
      if (rng.chance(1, 2)) settle(settings, kernel);
      if (rng.chance(1, 3) && !kernel.state.addresses.empty()) kernel.state.addresses.pop_back();
      if (rng.chance(1, 3) && !kernel.state.routes.empty()) kernel.state.routes.pop_back();
    }
    settle(settings, kernel);
    ASSERT_NE(kernel.link("bond0"), nullptr) << "seed " << seed;
    EXPECT_EQ(kernel.link("a0")->master, kernel.link("bond0")->index) << "seed " << seed;
    EXPECT_EQ(kernel.link("a1")->master, kernel.link("bond0")->index) << "seed " << seed;
    EXPECT_EQ(kernel.link("a2")->master, 0) << "seed " << seed;
    EXPECT_EQ(kernel.state.addresses.size(), 2U) << "seed " << seed;
    EXPECT_EQ(kernel.state.routes.size(), 1U) << "seed " << seed;
    EXPECT_EQ(dhcp_links(settings, kernel.state), (std::vector<std::string>{"a2", "bond0"})) << "seed " << seed;
  }
}

TEST(Leases, AreReadAsDhcpcdPrintsThem) {
  auto leases = read_leases(
      "reason=CARRIER\ninterface=eth0\nprotocol=link\nifmtu=1500\n\n"
      "reason=BOUND\ninterface=eth0\nprotocol=dhcp\nip_address=192.168.77.50\nrouters=192.168.77.1\n"
      "domain_name_servers=192.168.77.1 10.0.0.2\ndomain_name=example.test\nntp_servers=192.168.77.3\n\n"
      "reason=ROUTERADVERT\ninterface=eth1\nprotocol=ra\nnd1_rdnss1_servers=fd00::53\nnd1_dnssl1_search=six.test\n");
  ASSERT_TRUE(leases.ok());
  EXPECT_EQ(*leases, (std::vector<Lease>{{"eth0", "dhcp", {ip("192.168.77.1"), ip("10.0.0.2")}, {"example.test"}, {ip("192.168.77.3")}},
                                         {"eth1", "ra", {ip("fd00::53")}, {"six.test"}, {}}}));
  Settings settings;
  settings.dns = {ip("10.0.0.2")};
  settings.search = {"own.test"};
  EXPECT_EQ(resolv_conf(settings, *leases), "nameserver 10.0.0.2\nnameserver 192.168.77.1\nnameserver fd00::53\nsearch own.test example.test six.test\n");
  EXPECT_EQ(resolv_conf({}, {}), "");
}

TEST(Leases, StrangersWordsAreNoSettings) {
  auto leases = read_leases("interface=eth0\nprotocol=dhcp\ndomain_name=x;rm -rf\ndomain_search=good.test -bad a..b " + std::string(300, 'x') +
                            "\ndomain_name_servers=1.2.3 evil\tnameserver 10.0.0.1 options\n");
  ASSERT_TRUE(leases.ok());
  EXPECT_EQ(resolv_conf({}, *leases), "nameserver 10.0.0.1\nsearch good.test\n");
  EXPECT_FALSE(read_leases(std::string((256 << 10) + 1, 'x')).ok());
  std::string many;
  for (int i = 0; i < 5000; ++i) many += "interface=e\nprotocol=dhcp\n\n";
  EXPECT_EQ(read_leases(many)->size(), 256U);
}

TEST(DhcpConfig, NamesTheLinksAndNothingElse) {
  const std::string text = dhcp_config({"eth0", "bond0.7", "bad name", "x\nscript /bin/sh"}, "node-7.example");
  EXPECT_TRUE(text.starts_with("script \"\"\nallowinterfaces eth0 bond0.7\nhostname node-7.example\n")) << text;
  EXPECT_EQ(text.find("/bin/sh"), std::string::npos);
  EXPECT_NE(dhcp_config({}, "bad\nscript x").find("denyinterfaces *\nnodev\nduid"), std::string::npos);
}

TEST(NetworkStatus, ShowsWhatServes) {
  Observed seen;
  seen.links = {{.index = 1, .name = "lo", .up = true, .carrier = true, .loopback = true}, {.index = 2, .name = "eth0", .up = true, .carrier = true}};
  seen.addresses = {{1, prefix("127.0.0.1/8")}, {2, prefix("fe80::1/64")}, {2, prefix("169.254.3.4/16")}};
  EXPECT_FALSE(status_of(seen).online());
  seen.addresses.push_back({2, prefix("fd00::7/64"), true});
  EXPECT_FALSE(status_of(seen).online()) << "still checked for duplicates";
  seen.addresses.push_back({2, prefix("10.0.0.7/24")});
  seen.routes = {{prefix("0.0.0.0/0"), ip("10.0.0.1"), 2, 100}, {prefix("10.9.0.0/16"), ip("10.0.0.2"), 2, 0}};
  EXPECT_EQ(status_of(seen), (Status{{{"eth0", true, {"10.0.0.7/24"}}}, {"10.0.0.1"}}));
  EXPECT_TRUE(status_of(seen).online());
}

}  // namespace
}  // namespace steppe::network
