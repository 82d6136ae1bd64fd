#include "agent/client/fingerprint.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "agent/schema/node.pb.h"

namespace steppe::client {
namespace {

namespace fs = std::filesystem;

class FingerprintTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/steppe-print-XXXXXX";
    root_ = ::mkdtemp(name);
  }
  void TearDown() override { fs::remove_all(root_); }
  void put(const std::string& path, const std::string& text) {
    fs::create_directories(fs::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text;
  }
  std::string attribute(const std::string& key) {
    auto found = node_.attributes().find(key);
    return found == node_.attributes().end() ? "(none)" : found->second;
  }
  std::string root_;
  schema::Node node_;
};

TEST_F(FingerprintTest, AServerWithTwoSockets) {
  put("/proc/cpuinfo", "processor\t: 0\nmodel name\t: Xeon @ 2.40GHz\ncpu MHz\t\t: 3100.5\n");
  put("/sys/devices/system/cpu/online", "0-3\n");
  put("/sys/devices/system/node/online", "0-1\n");
  put("/sys/devices/system/node/node0/cpulist", "0,2\n");
  put("/sys/devices/system/node/node1/cpulist", "1,3\n");
  put("/sys/devices/system/node/node0/distance", "10 21\n");
  put("/sys/devices/system/node/node1/distance", "21 10\n");
  for (int cpu = 0; cpu < 4; ++cpu) {
    std::string dir = "/sys/devices/system/cpu/cpu" + std::to_string(cpu);
    put(dir + "/topology/physical_package_id", std::to_string(cpu % 2) + "\n");
    put(dir + "/cpufreq/base_frequency", "2400000\n");
    put(dir + "/cpufreq/cpuinfo_max_freq", "3700000\n");
  }
  NodeConfig config;
  config.reserved.cores = "0";
  fingerprint_cpu(config, root_, node_);
  EXPECT_EQ(attribute("cpu.numcores"), "4");
  EXPECT_EQ(attribute("cpu.frequency"), "2400");
  EXPECT_EQ(attribute("cpu.totalcompute"), "9600");
  EXPECT_EQ(attribute("cpu.reservablecores"), "3");
  EXPECT_EQ(attribute("numa.node1.cores"), "1,3");
  EXPECT_EQ(node_.node_resources().processors().topology().distances(0).items(1), 21u);
  EXPECT_EQ(node_.node_resources().processors().topology().cores(3).socket_id(), 1u);
}

TEST_F(FingerprintTest, SpeedIsNeverZero) {
  struct Case {
    const char* name;
    const char* cpuinfo;
    const char* base;
    const char* frequency;
  };
  const Case cases[] = {
      {"nothing at all", "", "", "1000"},
      {"garbage", "\xff\xfe:::\ncpu MHz : banana\n", "xyz", "1000"},
      {"zero", "processor : 0\ncpu MHz : 0.000\n", "0", "1000"},
      {"current speed", "processor : 0\ncpu MHz : 2593.906\n", "", "2594"},
      {"speed in the name", "processor : 0\nmodel name : CPU @ 2.10GHz\ncpu MHz : 800\n", "", "2100"},
      {"base frequency", "processor : 0\ncpu MHz : 800\n", "1800000", "1800"},
      {"arm board", "processor\t: 0\nBogoMIPS\t: 108.00\n\nModel\t\t: Raspberry Pi 4\n", "", "1000"},
  };
  for (const Case& c : cases) {
    fs::remove_all(root_);
    put("/proc/cpuinfo", c.cpuinfo);
    if (*c.base) put("/sys/devices/system/cpu/cpu0/cpufreq/base_frequency", c.base);
    node_.Clear();
    fingerprint_cpu({}, root_, node_);
    EXPECT_EQ(attribute("cpu.frequency"), c.frequency) << c.name;
    EXPECT_GT(node_.node_resources().cpu().cpu_shares(), 0) << c.name;
    EXPECT_EQ(attribute("cpu.numcores"), "1") << c.name;
  }
}

TEST_F(FingerprintTest, HybridCores) {
  put("/proc/cpuinfo", "model name : i7\n");
  put("/sys/devices/system/cpu/online", "0-2");
  put("/sys/devices/cpu_atom/cpus", "2\n");
  for (int cpu = 0; cpu < 3; ++cpu) put("/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/cpufreq/base_frequency", cpu == 2 ? "1500000" : "3000000");
  fingerprint_cpu({}, root_, node_);
  EXPECT_EQ(attribute("cpu.numcores.performance"), "2");
  EXPECT_EQ(attribute("cpu.frequency.efficiency"), "1500");
  EXPECT_EQ(attribute("cpu.totalcompute"), "7500");
}

TEST_F(FingerprintTest, MemoryHostAndCgroup) {
  put("/proc/meminfo", "MemTotal:       65849772 kB\nMemFree: 1 kB\n");
  put("/etc/os-release", "ID=debian\nVERSION_ID=\"13\"\n");
  put("/proc/sys/kernel/osrelease", "6.12.1-amd64\n");
  put("/proc/sys/kernel/hostname", "n1\n");
  put("/sys/fs/cgroup/cgroup.controllers", "cpu memory\n");
  put("/sys/class/dmi/id/sys_vendor", "QEMU\n");
  put("/sys/class/dmi/id/product_name", std::string("bad\0name", 8));
  MachineView machine;
  machine.root = root_;
  machine.landlock = 6;
  fingerprint_memory({}, root_, node_);
  fingerprint_host(machine, node_);
  EXPECT_EQ(attribute("memory.totalbytes"), "67430166528");
  EXPECT_EQ(node_.node_resources().memory().memory_mb(), 64306);
  EXPECT_EQ(attribute("os.name"), "debian");
  EXPECT_EQ(attribute("os.version"), "13");
  EXPECT_EQ(attribute("kernel.version"), "6.12.1-amd64");
  EXPECT_EQ(attribute("os.cgroups.version"), "2");
  EXPECT_EQ(attribute("kernel.landlock"), "v6");
  EXPECT_EQ(attribute("platform.dmi.vendor"), "QEMU");
  EXPECT_EQ(attribute("platform.dmi.product"), "(none)");
}

TEST_F(FingerprintTest, NetworkChoosesTheDefaultRouteOrWhatWasAsked) {
  put("/proc/net/route",
      "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\n"
      "eth1\t00000000\t0100000A\t0003\t0\t0\t200\t00000000\t0\n"
      "eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\n"
      "garbage\n");
  put("/sys/class/net/eth0/speed", "10000\n");
  put("/sys/class/net/eth0/address", "02:00:00:00:00:01\n");
  put("/sys/class/net/lo/speed", "-1\n");
  MachineView machine;
  machine.root = root_;
  machine.interfaces = {{"eth0", true, false, {{"192.168.1.7", 24, false, false}, {"fe80::1", 64, true, true}}},
                        {"eth1", true, false, {{"10.0.0.5", 8, false, false}}},
                        {"lo", true, true, {{"127.0.0.1", 8, false, false}}}};
  fingerprint_network({}, machine, node_);
  const schema::NodeResources& resources = node_.node_resources();
  EXPECT_EQ(attribute("unique.network.ip-address"), "192.168.1.7");
  ASSERT_EQ(resources.networks_size(), 1);
  EXPECT_EQ(resources.networks(0).cidr(), "192.168.1.7/32");
  EXPECT_EQ(resources.networks(0).m_bits(), 10000);
  EXPECT_EQ(resources.node_networks(0).addresses(0).gateway(), "192.168.1.1");
  EXPECT_EQ(resources.min_dynamic_port(), 20000);
  node_.Clear();
  NodeConfig config;
  config.network_interface = "lo";
  fingerprint_network(config, machine, node_);
  EXPECT_EQ(attribute("unique.network.ip-address"), "127.0.0.1");
  EXPECT_EQ(node_.node_resources().networks(0).m_bits(), 1000);
  node_.Clear();
  machine.interfaces = {};
  fingerprint_network({}, machine, node_);
  EXPECT_EQ(node_.node_resources().networks_size(), 0);
}

TEST_F(FingerprintTest, GpusByClass) {
  MachineView machine;
  machine.pci = {{"0000:00:02.0", 0x020000, 0x8086, 0x100e, "Intel", "NIC", "e1000"},
                 {"0000:01:00.0", 0x030200, 0x10de, 0x2335, "NVIDIA Corporation", "GH100 [H200]", "nvidia"},
                 {"0000:02:00.0", 0x030200, 0x10de, 0x2335, "NVIDIA Corporation", "GH100 [H200]", "nvidia"},
                 {"0000:03:00.0", 0x120000, 0x1002, 0x74a1, "", "", ""}};
  fingerprint_gpus(machine, node_);
  ASSERT_EQ(node_.node_resources().devices_size(), 2);
  EXPECT_EQ(node_.node_resources().devices(0).vendor(), "nvidia");
  EXPECT_EQ(node_.node_resources().devices(0).instances_size(), 2);
  EXPECT_EQ(node_.node_resources().devices(1).name(), "1002:74a1");
  EXPECT_EQ(attribute("gpu.count"), "3");
}

TEST_F(FingerprintTest, ThisMachine) {
  fs::create_directories(root_ + "/alloc");
  auto node = fingerprint_node({}, MachineView::look(root_ + "/alloc"), {}, WallTime{1});
  EXPECT_GT(node->node_resources().cpu().cpu_shares(), 0);
  EXPECT_GT(node->node_resources().memory().memory_mb(), 0);
  EXPECT_GT(node->node_resources().disk().disk_mb(), 0);
  EXPECT_FALSE(node->name().empty());
  EXPECT_TRUE(node->computed_class().starts_with("v1:"));
}

TEST(Cpuset, Table) {
  EXPECT_EQ(*parse_cpuset("0-2,7\n"), (std::vector<uint64_t>{0, 1, 2, 7}));
  EXPECT_TRUE(parse_cpuset("")->empty());
  for (const char* bad : {"a", "3-1", "0-99999999", "1,,2", "-1"}) EXPECT_FALSE(parse_cpuset(bad).ok()) << bad;
  EXPECT_EQ(cpuset_text({7, 0, 1, 2}), "0-2,7");
}

}  // namespace
}  // namespace steppe::client
