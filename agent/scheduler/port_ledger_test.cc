#include "agent/scheduler/port_ledger.h"

#include <gtest/gtest.h>

#include <set>

#include "agent/schema/alloc.pb.h"
#include "agent/schema/node.pb.h"

namespace steppe::scheduler {
namespace {

schema::Node two_networks() {
  schema::Node node;
  auto& public_net = *node.mutable_node_resources()->add_node_networks();
  public_net.set_mode("host");
  public_net.set_device("eth0");
  auto& first = *public_net.add_addresses();
  first.set_alias("default");
  first.set_address("10.0.0.1");
  first.set_reserved_ports("22,8000-8002");
  auto& private_net = *node.mutable_node_resources()->add_node_networks();
  private_net.set_device("eth1");
  auto& second = *private_net.add_addresses();
  second.set_alias("private");
  second.set_address("192.168.0.1");
  node.mutable_reserved_resources()->mutable_networks()->set_reserved_host_ports("9100");
  return node;
}

schema::NetworkResource fixed(int64_t port, std::string_view host_network = "", bool share = false) {
  schema::NetworkResource ask;
  auto& p = *ask.add_reserved_ports();
  p.set_label("http");
  p.set_value(port);
  p.set_host_network(std::string(host_network));
  p.set_ignore_collision(share);
  return ask;
}

schema::AllocatedResources holding(const PortLedger::Offer& offer) {
  schema::AllocatedResources resources;
  for (const auto& port : offer.ports) *resources.mutable_shared()->add_ports() = port;
  return resources;
}

struct StaticCase {
  const char* name;
  int64_t port;
  const char* network;
  const char* refusal;
  const char* address;
};

TEST(PortLedger, StaticPorts) {
  const StaticCase cases[] = {
      {"free", 8080, "", "", "10.0.0.1"},
      {"the address reserves it", 8001, "", "reserved port collision http=8001", ""},
      {"the host reserves it", 9100, "", "reserved port collision http=9100", ""},
      {"reserved on the other address only", 8001, "private", "", "192.168.0.1"},
      {"no such network", 80, "dmz", "no addresses available for dmz network", ""},
      {"above the range", 65536, "", "reserved port collision http=65536", ""},
      {"negative", -1, "", "reserved port collision http=-1", ""},
  };
  for (const StaticCase& c : cases) {
    PortLedger ledger(two_networks());
    SeededRng rng(1);
    const auto offer = ledger.offer(fixed(c.port, c.network), rng);
    EXPECT_EQ(offer.refusal, c.refusal) << c.name;
    if (!offer.ok()) continue;
    ASSERT_EQ(offer.ports.size(), 1U) << c.name;
    EXPECT_EQ(offer.ports[0].host_ip(), c.address) << c.name;
    EXPECT_EQ(offer.ports[0].value(), c.port) << c.name;
  }
}

TEST(PortLedger, HeldPortsAreRefusedUnlessBothShare) {
  struct Case {
    bool holder_shares, asker_shares, ok;
  };
  for (const Case& c : {Case{false, false, false}, Case{true, false, false}, Case{false, true, false}, Case{true, true, true}}) {
    PortLedger ledger(two_networks());
    SeededRng rng(1);
    ledger.hold(holding(ledger.offer(fixed(8080, "", c.holder_shares), rng)));
    EXPECT_EQ(ledger.offer(fixed(8080, "", c.asker_shares), rng).ok(), c.ok) << c.holder_shares << c.asker_shares;
    // The other address is another port.
    EXPECT_TRUE(ledger.offer(fixed(8080, "private"), rng).ok());
  }
}

TEST(PortLedger, DynamicPortsFillTheRangeExactly) {
  schema::Node node = two_networks();
  node.mutable_node_resources()->set_min_dynamic_port(20000);
  node.mutable_node_resources()->set_max_dynamic_port(20099);
  PortLedger ledger(node);
  SeededRng rng(7);
  schema::NetworkResource ask;
  auto& a = *ask.add_dynamic_ports();
  a.set_label("a");
  a.set_to(-1);
  auto& b = *ask.add_dynamic_ports();
  b.set_label("b");
  b.set_to(8080);
  std::set<int64_t> seen;
  for (int i = 0; i < 50; ++i) {
    const auto offer = ledger.offer(ask, rng);
    ASSERT_TRUE(offer.ok()) << i << offer.refusal;
    for (const auto& port : offer.ports) {
      EXPECT_TRUE(seen.insert(port.value()).second) << port.value();
      EXPECT_GE(port.value(), 20000);
      EXPECT_LE(port.value(), 20099);
    }
    EXPECT_EQ(offer.ports[0].to(), offer.ports[0].value());  // to = -1: the host's
    EXPECT_EQ(offer.ports[1].to(), 8080);
    ledger.hold(holding(offer));
  }
  EXPECT_EQ(ledger.offer(ask, rng).refusal, "dynamic port selection failed");
}

TEST(PortLedger, PortsOfWhatIsBeingStoppedAreTakenLast) {
  schema::Node node = two_networks();
  node.mutable_node_resources()->set_min_dynamic_port(20000);
  node.mutable_node_resources()->set_max_dynamic_port(20002);
  PortLedger ledger(node);
  schema::AllocatedResources stopping;
  for (const int64_t port : {20000, 20002}) {
    auto& held = *stopping.mutable_shared()->add_ports();
    held.set_value(port);
    held.set_host_ip("10.0.0.1");
  }
  ledger.cool(stopping);
  schema::NetworkResource ask;
  ask.add_dynamic_ports()->set_label("a");
  for (uint64_t seed = 0; seed < 50; ++seed) {
    SeededRng rng(seed);
    EXPECT_EQ(ledger.offer(ask, rng).ports.at(0).value(), 20001);
  }
  SeededRng rng(1);
  ledger.hold(holding(ledger.offer(ask, rng)));
  EXPECT_EQ(ledger.offer(ask, rng).ports.at(0).value(), 20000);
}

TEST(PortLedger, SameSeedSamePorts) {
  PortLedger ledger(two_networks());
  schema::NetworkResource ask;
  for (int i = 0; i < 5; ++i) ask.add_dynamic_ports()->set_label(std::string(1, static_cast<char>('a' + i)));
  SeededRng first(42), second(42), third(43);
  const auto text = [](const PortLedger::Offer& offer) {
    std::string out;
    for (const auto& port : offer.ports) out += std::to_string(port.value()) + " ";
    return out;
  };
  const std::string one = text(ledger.offer(ask, first));
  EXPECT_EQ(one, text(ledger.offer(ask, second)));
  EXPECT_NE(one, text(ledger.offer(ask, third)));
}

}  // namespace
}  // namespace steppe::scheduler
