#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/client/client_context.h"
#include "init/sys/device/interfaces.h"
#include "init/sys/device/pci.h"
#include "init/sys/kernel/file_access.h"

namespace steppe::client {

// What the operator says about the node (agent configuration, client block). Zero and empty: detect.
struct NodeConfig {
  std::string name, datacenter = "dc1", node_class, node_pool = "default";
  std::map<std::string, std::string> meta;
  std::string http_addr, version = "2.0.6", revision, steppe_version;
  std::string network_interface;  // -dev: "lo"
  int64_t network_speed = 0, cpu_total_compute = 0, memory_total_mb = 0, disk_total_mb = 0, disk_free_mb = 0;
  std::string reservable_cores;   // cpuset; empty: all
  int64_t min_dynamic_port = 20000, max_dynamic_port = 32000;
  struct Reserved {
    int64_t cpu = 0, memory_mb = 0, disk_mb = 0;
    std::string ports, cores;
  } reserved;
  struct HostVolume {
    std::string path;
    bool read_only = false;
  };
  std::map<std::string, HostVolume> host_volumes;
  int64_t node_max_allocs = 0;
  std::string cgroup_parent = "nomad.slice";
};

// What was seen of the machine. Files are read beneath `root`, so that tests bring their own trees.
struct MachineView {
  std::string root;  // "" is this machine
  std::vector<device::Interface> interfaces;
  std::vector<device::PciDevice> pci;
  int landlock = 0;
  std::optional<kernel::FileSystemUsage> alloc_disk;
  std::string alloc_dir;

  // (blocks) Looks at this machine.
  static MachineView look(const std::string& alloc_dir);
};

// (blocks) The node as it registers: attributes, resources, reserved, drivers, host volumes, computed class; without id
// and secret. A fingerprint that finds nothing leaves its attributes out; it never fails the others.
std::unique_ptr<schema::Node> fingerprint_node(const NodeConfig& config, const MachineView& machine, const DriverTable& drivers,
                                               WallTime now);

// The parts, each reading only its own files; exposed for tests.
void fingerprint_cpu(const NodeConfig& config, const std::string& root, schema::Node& node);
void fingerprint_memory(const NodeConfig& config, const std::string& root, schema::Node& node);
void fingerprint_storage(const NodeConfig& config, const MachineView& machine, schema::Node& node);
void fingerprint_network(const NodeConfig& config, const MachineView& machine, schema::Node& node);
void fingerprint_host(const MachineView& machine, schema::Node& node);
void fingerprint_gpus(const MachineView& machine, schema::Node& node);
void fingerprint_drivers(const DriverTable& drivers, WallTime now, schema::Node& node);

// "0-3,8" -> {0,1,2,3,8}; kInvalid names the part. At most 65536 numbers.
Result<std::vector<uint64_t>> parse_cpuset(std::string_view text);

}  // namespace steppe::client
