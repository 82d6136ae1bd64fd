#include "agent/client/fingerprint.h"

#include <algorithm>
#include <format>

#include "agent/model/node_class.h"
#include "agent/schema/job.pb.h"
#include "agent/schema/node.pb.h"
#include "init/base/text.h"
#include "init/sys/kernel/host_file.h"
#include "init/sys/kernel/mounts.h"

namespace steppe::client {
namespace {

#if defined(__x86_64__)
constexpr const char* kArch = "amd64";
constexpr const char* kMachine = "x86_64";
#elif defined(__aarch64__)
constexpr const char* kArch = "arm64";
constexpr const char* kMachine = "aarch64";
#else
#error "name this processor"
#endif

std::string read_trimmed(const std::string& path) {
  auto text = kernel::read_host_file(path);
  if (!text.ok()) return "";
  // What is no text would break the JSON and the logs of everybody who reads the node.
  std::string_view line = trim(*text);
  return is_utf8(line) && line.find('\0') == line.npos ? std::string(line.substr(0, 256)) : "";
}

// KEY=value or KEY="value" (os-release(5)).
std::string shell_value(std::string_view text, std::string_view key) {
  for (std::string_view line : split(text, '\n')) {
    line = trim(line);
    if (!line.starts_with(key) || line.size() <= key.size() || line[key.size()] != '=') continue;
    std::string_view value = line.substr(key.size() + 1);
    if (value.size() >= 2 && (value.front() == '"' || value.front() == '\'') && value.back() == value.front()) {
      value = value.substr(1, value.size() - 2);
    }
    return std::string(value);
  }
  return "";
}

// Interface and gateway of the default route with the least metric (/proc/net/route: hexadecimal, host order).
struct DefaultRoute {
  std::string interface, gateway;
};
DefaultRoute default_route(const std::string& root) {
  DefaultRoute out;
  uint64_t best = UINT64_MAX;
  auto text = kernel::read_host_file(root + "/proc/net/route");
  if (!text.ok()) return out;
  for (std::string_view line : split(*text, '\n')) {
    std::vector<std::string_view> fields = split(line, '\t');
    if (fields.size() < 8 || trim(fields[1]) != "00000000" || trim(fields[7]) != "00000000") continue;
    auto metric = parse_uint(trim(fields[6]));
    if (!metric.ok() || *metric >= best) continue;
    best = *metric;
    out.interface = trim(fields[0]);
    auto bytes = unhex(trim(fields[2]));
    if (bytes.ok() && bytes->size() == 4) {
      auto at = [&](int i) { return static_cast<unsigned char>((*bytes)[static_cast<size_t>(i)]); };
      out.gateway = std::format("{}.{}.{}.{}", at(3), at(2), at(1), at(0));
    }
  }
  return out;
}

const device::Interface* choose_interface(const NodeConfig& config, const MachineView& machine, const DefaultRoute& route) {
  auto usable = [](const device::Interface& one) {
    return one.up && std::ranges::any_of(one.addresses, [](const auto& a) { return !a.link_local; });
  };
  std::string wanted = config.network_interface.empty() ? route.interface : config.network_interface;
  const device::Interface* fallback = nullptr;
  for (const device::Interface& one : machine.interfaces) {
    if (one.name == wanted && usable(one)) return &one;
    if (!usable(one)) continue;
    if (fallback == nullptr || (fallback->loopback && !one.loopback)) fallback = &one;
  }
  return fallback;
}

}  // namespace

MachineView MachineView::look(const std::string& alloc_dir) {
  MachineView out;
  out.alloc_dir = alloc_dir;
  out.interfaces = device::enumerate_interfaces().value_or(std::vector<device::Interface>{});
  out.pci = device::enumerate_pci().value_or(std::vector<device::PciDevice>{});
  out.landlock = device::landlock_version();
  auto root = kernel::Beneath::at(alloc_dir);
  if (!root.ok()) return out;
  auto fd = root->open_directory(".");
  if (!fd.ok()) return out;
  auto usage = kernel::file_system_usage(*fd);
  if (usage.ok()) out.alloc_disk = *usage;
  return out;
}

void fingerprint_memory(const NodeConfig& config, const std::string& root, schema::Node& node) {
  int64_t total = config.memory_total_mb << 20;
  if (total == 0) {
    auto text = kernel::read_host_file(root + "/proc/meminfo");
    for (std::string_view line : split(text.ok() ? *text : "", '\n')) {
      if (!line.starts_with("MemTotal:")) continue;
      std::string_view rest = trim(line.substr(9));
      auto kib = parse_int(rest.substr(0, rest.find(' ')));
      if (kib.ok() && *kib > 0 && *kib < (int64_t{1} << 50)) total = *kib << 10;
    }
  }
  if (total <= 0) return;
  (*node.mutable_attributes())["memory.totalbytes"] = std::to_string(total);
  node.mutable_node_resources()->mutable_memory()->set_memory_mb(total >> 20);
}

void fingerprint_storage(const NodeConfig& config, const MachineView& machine, schema::Node& node) {
  uint64_t total = machine.alloc_disk ? machine.alloc_disk->total : 0;
  uint64_t free = machine.alloc_disk ? machine.alloc_disk->available : 0;
  if (config.disk_total_mb > 0) total = static_cast<uint64_t>(config.disk_total_mb) << 20;
  if (config.disk_free_mb > 0) free = static_cast<uint64_t>(config.disk_free_mb) << 20;
  auto& attributes = *node.mutable_attributes();
  attributes["unique.storage.bytestotal"] = std::to_string(total);
  node.mutable_node_resources()->mutable_disk()->set_disk_mb(static_cast<int64_t>(free >> 20));
  auto mounts = kernel::read_host_file(machine.root + "/proc/self/mountinfo", Bytes::mib(4));
  if (!mounts.ok()) return;
  auto entries = kernel::parse_mountinfo(*mounts);
  if (!entries.ok()) return;
  size_t longest = 0;
  for (const kernel::MountEntry& entry : *entries) {
    std::string prefix = entry.target == "/" ? "/" : entry.target + "/";
    if ((machine.alloc_dir + "/").starts_with(prefix) && prefix.size() >= longest) {
      longest = prefix.size();
      attributes["unique.storage.volume"] = entry.source;
    }
  }
}

void fingerprint_network(const NodeConfig& config, const MachineView& machine, schema::Node& node) {
  schema::NodeResources& resources = *node.mutable_node_resources();
  resources.set_min_dynamic_port(config.min_dynamic_port);
  resources.set_max_dynamic_port(config.max_dynamic_port);
  DefaultRoute route = default_route(machine.root);
  const device::Interface* chosen = choose_interface(config, machine, route);
  if (chosen == nullptr) return;
  std::string dir = machine.root + "/sys/class/net/" + chosen->name;
  int64_t speed = config.network_speed;
  if (speed == 0) {
    // Virtual interfaces say -1 or refuse.
    auto found = parse_int(read_trimmed(dir + "/speed"));
    speed = found.ok() && *found > 0 ? *found : 1000;
  }
  schema::NodeNetworkResource& shown = *resources.add_node_networks();
  shown.set_mode("host");
  shown.set_device(chosen->name);
  shown.set_mac_address(read_trimmed(dir + "/address"));
  shown.set_speed(speed);
  bool first = true;
  for (const device::InterfaceAddress& address : chosen->addresses) {
    if (address.link_local) continue;
    schema::NodeNetworkAddress& one = *shown.add_addresses();
    one.set_family(address.ipv6 ? "ipv6" : "ipv4");
    one.set_alias("default");
    one.set_address(address.text);
    one.set_reserved_ports(config.reserved.ports);
    if (!address.ipv6 && chosen->name == route.interface) one.set_gateway(route.gateway);
    schema::NetworkResource& network = *resources.add_networks();
    network.set_mode("host");
    network.set_device(chosen->name);
    network.set_ip(address.text);
    network.set_cidr(address.text + (address.ipv6 ? "/128" : "/32"));
    network.set_m_bits(speed);
    if (first) (*node.mutable_attributes())["unique.network.ip-address"] = address.text;
    first = false;
  }
}

void fingerprint_host(const MachineView& machine, schema::Node& node) {
  auto& attributes = *node.mutable_attributes();
  const std::string& root = machine.root;
  auto set = [&](const char* key, const std::string& value) {
    if (!value.empty()) attributes[key] = value;
  };
  set("cpu.arch", kArch);
  set("kernel.name", "linux");
  set("kernel.version", read_trimmed(root + "/proc/sys/kernel/osrelease"));
  set("kernel.arch", kMachine);
  set("unique.hostname", read_trimmed(root + "/proc/sys/kernel/hostname"));
  auto release = kernel::read_host_file(root + "/etc/os-release");
  if (!release.ok()) release = kernel::read_host_file(root + "/usr/lib/os-release");
  if (release.ok() && is_utf8(*release)) {
    set("os.name", shell_value(*release, "ID"));
    set("os.version", shell_value(*release, "VERSION_ID"));
  }
  set("os.signals",
      "SIGABRT,SIGALRM,SIGBUS,SIGCHLD,SIGCONT,SIGFPE,SIGHUP,SIGILL,SIGINT,SIGIO,SIGIOT,SIGKILL,SIGPIPE,SIGPROF,SIGQUIT,"
      "SIGSEGV,SIGSTOP,SIGSYS,SIGTERM,SIGTRAP,SIGTSTP,SIGTTIN,SIGTTOU,SIGURG,SIGUSR1,SIGUSR2,SIGWINCH,SIGXCPU,SIGXFSZ");
  bool unified = kernel::read_host_file(root + "/sys/fs/cgroup/cgroup.controllers").ok();
  set("os.cgroups.version", unified ? "2" : "1");
  if (machine.landlock > 0) set("kernel.landlock", std::format("v{}", machine.landlock));
  std::string dmi = root + "/sys/class/dmi/id/";
  set("platform.dmi.vendor", read_trimmed(dmi + "sys_vendor"));
  set("platform.dmi.product", read_trimmed(dmi + "product_name"));
  set("platform.dmi.board", read_trimmed(dmi + "board_name"));
  set("platform.dmi.bios-version", read_trimmed(dmi + "bios_version"));
}

void fingerprint_gpus(const MachineView& machine, schema::Node& node) {
  std::map<std::string, schema::NodeDeviceResource*> groups;
  int64_t count = 0;
  for (const device::PciDevice& found : machine.pci) {
    if (!found.display() && !found.accelerator()) continue;
    ++count;
    std::string vendor = found.vendor_id == 0x10de ? "nvidia" : found.vendor_id == 0x1002 ? "amd" : found.vendor_id == 0x8086 ? "intel" : std::format("{:04x}", found.vendor_id);
    std::string model = found.model.empty() ? std::format("{:04x}:{:04x}", found.vendor_id, found.device_id) : found.model;
    schema::NodeDeviceResource*& group = groups[vendor + "/" + model];
    if (group == nullptr) {
      group = node.mutable_node_resources()->add_devices();
      group->set_vendor(vendor);
      group->set_type("gpu");
      group->set_name(model);
      auto& attributes = *group->mutable_attributes();
      attributes["pci_vendor_id"].set_string_value(std::format("{:04x}", found.vendor_id));
      attributes["pci_device_id"].set_string_value(std::format("{:04x}", found.device_id));
      if (!found.driver.empty()) attributes["kernel_driver"].set_string_value(found.driver);
    }
    // Seen, but nothing hands its device nodes to tasks yet: it must not be placed on.
    schema::NodeDevice& instance = *group->add_instances();
    instance.set_id(found.address);
    instance.set_healthy(false);
    instance.set_health_description("no device driver for tasks yet");
    instance.mutable_locality()->set_pci_bus_id(found.address);
  }
  if (count > 0) (*node.mutable_attributes())["gpu.count"] = std::to_string(count);
}

void fingerprint_drivers(const DriverTable& drivers, WallTime now, schema::Node& node) {
  for (const auto& [name, driver] : drivers) {
    drivers::Fingerprint seen = driver->fingerprint();
    schema::DriverInfo& info = (*node.mutable_drivers())[name];
    info.set_detected(seen.health != drivers::Health::kUndetected);
    info.set_healthy(seen.health == drivers::Health::kHealthy);
    info.set_health_description(seen.description);
    info.set_update_time(now.unix_ns);
    if (!info.detected()) continue;
    for (const auto& [key, value] : seen.attributes) {
      (*info.mutable_attributes())[key] = value;
      (*node.mutable_attributes())[key] = value;
    }
  }
}

std::unique_ptr<schema::Node> fingerprint_node(const NodeConfig& config, const MachineView& machine, const DriverTable& drivers,
                                               WallTime now) {
  auto node = std::make_unique<schema::Node>();
  fingerprint_host(machine, *node);
  fingerprint_cpu(config, machine.root, *node);
  fingerprint_memory(config, machine.root, *node);
  fingerprint_storage(config, machine, *node);
  fingerprint_network(config, machine, *node);
  fingerprint_gpus(machine, *node);
  fingerprint_drivers(drivers, now, *node);
  auto& attributes = *node->mutable_attributes();
  attributes["nomad.version"] = config.version;
  if (!config.revision.empty()) attributes["nomad.revision"] = config.revision;
  if (!config.steppe_version.empty()) attributes["steppe.version"] = config.steppe_version;
  // The fact, not the wish of the configuration: jobs that need services constrain on it.
  attributes["nomad.service_discovery"] = "false";
  if (!config.http_addr.empty()) attributes["unique.advertise.address"] = config.http_addr;

  node->set_name(config.name.empty() ? attributes["unique.hostname"] : config.name);
  node->set_datacenter(config.datacenter);
  node->set_node_class(config.node_class);
  node->set_node_pool(config.node_pool);
  node->set_http_addr(config.http_addr);
  node->set_cgroup_parent(config.cgroup_parent);
  node->set_status("initializing");
  node->set_scheduling_eligibility("eligible");
  node->set_node_max_allocs(config.node_max_allocs);
  for (const auto& [key, value] : config.meta) (*node->mutable_meta())[key] = value;
  schema::NodeReservedResources& reserved = *node->mutable_reserved_resources();
  reserved.mutable_cpu()->set_cpu_shares(config.reserved.cpu);
  auto cores = parse_cpuset(config.reserved.cores);
  if (cores.ok()) {
    for (uint64_t core : *cores) reserved.mutable_cpu()->add_reserved_cpu_cores(core);
  }
  reserved.mutable_memory()->set_memory_mb(config.reserved.memory_mb);
  reserved.mutable_disk()->set_disk_mb(config.reserved.disk_mb);
  reserved.mutable_networks()->set_reserved_host_ports(config.reserved.ports);
  schema::Resources& legacy = *node->mutable_resources();
  legacy.set_cpu(node->node_resources().cpu().cpu_shares());
  legacy.set_memory_mb(node->node_resources().memory().memory_mb());
  legacy.set_disk_mb(node->node_resources().disk().disk_mb());
  *legacy.mutable_networks() = node->node_resources().networks();
  for (const auto& [name, volume] : config.host_volumes) {
    schema::ClientHostVolumeConfig& out = (*node->mutable_host_volumes())[name];
    out.set_name(name);
    out.set_path(volume.path);
    out.set_read_only(volume.read_only);
  }
  node->set_computed_class(model::computed_class(*node));
  return node;
}

}  // namespace steppe::client
