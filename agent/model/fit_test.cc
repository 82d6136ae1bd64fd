#include "agent/model/fit.h"

#include <string>
#include <vector>

#include "agent/model/node_class.h"
#include "agent/schema/alloc.pb.h"
#include "agent/schema/codec.h"
#include "agent/schema/node.pb.h"
#include "gtest/gtest.h"

namespace steppe::model {
namespace {

template <class T>
T read(std::string_view text) {
  T message;
  const auto result = schema::read_json(text, &message);
  EXPECT_TRUE(result.ok()) << result.error().message();
  return message;
}

schema::Node node() {
  return read<schema::Node>(R"({
    "ID":"n1","Name":"node","Datacenter":"dc1","NodeClass":"m5","NodePool":"default",
    "Attributes":{"kernel.name":"linux","unique.hostname":"a"},"Meta":{"rack":"r1","unique.slot":"7"},
    "NodeResources":{"Cpu":{"CpuShares":4000,"ReservableCpuCores":[0,1,2,3]},"Memory":{"MemoryMB":8192},"Disk":{"DiskMB":10000},
      "NodeNetworks":[{"Mode":"host","Addresses":[{"Address":"10.0.0.1","ReservedPorts":"4646"}]}]},
    "ReservedResources":{"Cpu":{"CpuShares":500,"ReservedCpuCores":[0]},"Memory":{"MemoryMB":192},"Disk":{"DiskMB":1000},
      "Networks":{"ReservedHostPorts":"22,8000-8010"}}})");
}

schema::Allocation alloc(std::string_view resources, std::string_view client_status = "running") {
  auto made = read<schema::Allocation>(R"({"AllocatedResources":)" + std::string(resources) + "}");
  made.set_client_status(std::string(client_status));
  return made;
}

std::string exhausted(const std::vector<schema::Allocation>& allocs) {
  std::vector<const schema::Allocation*> pointers;
  for (const auto& alloc : allocs) pointers.push_back(&alloc);
  const FitResult result = allocs_fit(node(), pointers);
  EXPECT_EQ(result.fits, result.dimension.empty());
  return result.dimension;
}

std::string task(int cpu, int memory, std::string_view cores = "null") {
  return R"({"Tasks":{"t":{"Cpu":{"CpuShares":)" + std::to_string(cpu) + R"(,"ReservedCores":)" + std::string(cores) +
         R"(},"Memory":{"MemoryMB":)" + std::to_string(memory) + R"(}}},"Shared":{"DiskMB":300}})";
}

std::string port(std::string_view ip, int value, bool ignore = false) {
  return R"({"Shared":{"Ports":[{"Label":"http","Value":)" + std::to_string(value) + R"(,"HostIP":")" + std::string(ip) +
         R"(","IgnoreCollision":)" + (ignore ? "true" : "false") + "}]}}";
}

TEST(Fit, Dimensions) {
  EXPECT_EQ(exhausted({}), "");
  EXPECT_EQ(exhausted({alloc(task(3500, 8000))}), "");
  EXPECT_EQ(exhausted({alloc(task(3501, 100))}), "cpu");
  EXPECT_EQ(exhausted({alloc(task(100, 8001))}), "memory");
  EXPECT_EQ(exhausted({alloc(R"({"Shared":{"DiskMB":9001}})")}), "disk");
  EXPECT_EQ(exhausted({alloc(task(2000, 10)), alloc(task(1501, 10))}), "cpu");
  // What the client is done with takes nothing; a stop that is only asked for still does.
  EXPECT_EQ(exhausted({alloc(task(2000, 10)), alloc(task(1501, 10), "complete")}), "");
  auto stopping = alloc(task(1501, 10));
  stopping.set_desired_status("stop");
  EXPECT_EQ(exhausted({alloc(task(2000, 10)), stopping}), "cpu");
}

TEST(Fit, Cores) {
  EXPECT_EQ(exhausted({alloc(task(100, 10, "[1,2]")), alloc(task(100, 10, "[3]"))}), "");
  EXPECT_EQ(exhausted({alloc(task(100, 10, "[1,2]")), alloc(task(100, 10, "[2]"))}), "cores");
  EXPECT_EQ(exhausted({alloc(task(100, 10, "[0]"))}), "cores");  // reserved for the host
  EXPECT_EQ(exhausted({alloc(task(100, 10, "[9]"))}), "cores");  // not there
}

TEST(Fit, Ports) {
  EXPECT_EQ(exhausted({alloc(port("10.0.0.1", 80)), alloc(port("10.0.0.1", 81))}), "");
  EXPECT_EQ(exhausted({alloc(port("10.0.0.1", 80)), alloc(port("10.0.0.1", 80))}), "reserved port collision http=80");
  EXPECT_EQ(exhausted({alloc(port("10.0.0.1", 80)), alloc(port("10.0.0.2", 80))}), "");
  EXPECT_EQ(exhausted({alloc(port("10.0.0.1", 80, true)), alloc(port("10.0.0.1", 80, true))}), "");
  EXPECT_EQ(exhausted({alloc(port("10.0.0.1", 80, true)), alloc(port("10.0.0.1", 80))}), "reserved port collision http=80");
  EXPECT_EQ(exhausted({alloc(port("10.0.0.1", 8005))}), "reserved port collision http=8005");
  EXPECT_EQ(exhausted({alloc(port("10.0.0.1", 4646))}), "reserved port collision http=4646");
  EXPECT_EQ(exhausted({alloc(port("10.0.0.2", 4646))}), "");
}

TEST(Fit, Devices) {
  const std::string gpu = R"({"Tasks":{"t":{"Devices":[{"Vendor":"nvidia","Type":"gpu","Name":"H200","DeviceIDs":["a"]}]}}})";
  const std::string other = R"({"Tasks":{"t":{"Devices":[{"Vendor":"nvidia","Type":"gpu","Name":"H200","DeviceIDs":["b"]}]}}})";
  EXPECT_EQ(exhausted({alloc(gpu), alloc(other)}), "");
  EXPECT_EQ(exhausted({alloc(gpu), alloc(gpu)}), "device oversubscribed");
}

TEST(Fit, PhasesDoNotAddUp) {
  const auto resources = read<schema::AllocatedResources>(R"({
    "Tasks":{"pull":{"Cpu":{"CpuShares":900},"Memory":{"MemoryMB":10}},
             "proxy":{"Cpu":{"CpuShares":100},"Memory":{"MemoryMB":20}},
             "web":{"Cpu":{"CpuShares":500},"Memory":{"MemoryMB":100,"MemoryMaxMB":200}},
             "warm":{"Cpu":{"CpuShares":50},"Memory":{"MemoryMB":5}},
             "clean":{"Cpu":{"CpuShares":10},"Memory":{"MemoryMB":300}}},
    "TaskLifecycles":{"pull":{"Hook":"prestart"},"proxy":{"Hook":"prestart","Sidecar":true},"web":null,
                      "warm":{"Hook":"poststart"},"clean":{"Hook":"poststop"}},
    "Shared":{"DiskMB":300}})");
  const FlatResources flat = alloc_resources(resources);
  EXPECT_EQ(flat.cpu_shares, 1000);  // pull + proxy, above proxy + web + warm = 650
  EXPECT_EQ(flat.memory_mb, 300);    // clean, above proxy + web + warm = 125
  EXPECT_EQ(flat.memory_max_mb, 300);
  EXPECT_EQ(flat.disk_mb, 300);
}

TEST(Fit, Scores) {
  const FlatResources capacity{.cpu_shares = 4000, .memory_mb = 8000};
  EXPECT_DOUBLE_EQ(score_binpack(capacity, {}), 0.0);
  EXPECT_DOUBLE_EQ(score_binpack(capacity, capacity), 18.0);
  EXPECT_DOUBLE_EQ(score_spread(capacity, {}), 18.0);
  EXPECT_DOUBLE_EQ(score_spread(capacity, capacity), 0.0);
  // 20 - (10^0.5 + 10^0.75)
  EXPECT_NEAR(score_binpack(capacity, {.cpu_shares = 2000, .memory_mb = 2000}), 11.2143, 1e-4);
  EXPECT_GT(score_binpack(capacity, {.cpu_shares = 3000, .memory_mb = 2000}),
            score_binpack(capacity, {.cpu_shares = 2000, .memory_mb = 2000}));
}

TEST(Fit, PortRanges) {
  std::vector<uint32_t> ports;
  EXPECT_TRUE(parse_port_ranges("80, 22,8000-8002,80", &ports));
  EXPECT_EQ(ports, (std::vector<uint32_t>{22, 80, 8000, 8001, 8002}));
  EXPECT_TRUE(parse_port_ranges("", &ports));
  EXPECT_TRUE(ports.empty());
  for (const char* bad : {"a", "1-", "-1", "5-4", "65536", "1,,2"}) EXPECT_FALSE(parse_port_ranges(bad, &ports)) << bad;
}

TEST(NodeClass, SeesWhatMattersAndNothingElse) {
  const std::string base = computed_class(node());
  // Written into the log of clusters: it must never change.
  EXPECT_EQ(base, "v1:18011341634605547081");
  const auto with = [](auto change) {
    schema::Node changed = node();
    change(changed);
    return computed_class(changed);
  };
  EXPECT_EQ(with([](schema::Node& n) { n.set_id("n2"); }), base);
  EXPECT_EQ(with([](schema::Node& n) { n.set_name("other"); }), base);
  EXPECT_EQ(with([](schema::Node& n) { (*n.mutable_attributes())["unique.hostname"] = "b"; }), base);
  EXPECT_EQ(with([](schema::Node& n) { (*n.mutable_meta())["unique.slot"] = "8"; }), base);
  EXPECT_EQ(with([](schema::Node& n) { n.set_status("down"); }), base);
  EXPECT_NE(with([](schema::Node& n) { n.set_datacenter("dc2"); }), base);
  EXPECT_NE(with([](schema::Node& n) { n.set_node_class("c5"); }), base);
  EXPECT_NE(with([](schema::Node& n) { n.set_node_pool("edge"); }), base);
  EXPECT_NE(with([](schema::Node& n) { (*n.mutable_attributes())["kernel.name"] = "bsd"; }), base);
  EXPECT_NE(with([](schema::Node& n) { (*n.mutable_meta())["rack"] = "r2"; }), base);
  EXPECT_NE(with([](schema::Node& n) { n.mutable_node_resources()->mutable_memory()->set_memory_mb(1); }), base);
  EXPECT_NE(with([](schema::Node& n) { n.mutable_node_resources()->add_devices()->set_name("H200"); }), base);
}

}  // namespace
}  // namespace steppe::model
