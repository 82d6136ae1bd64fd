#include "agent/model/fit.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <format>
#include <string_view>
#include <tuple>

#include "agent/model/alloc_status.h"
#include "agent/schema/alloc.pb.h"
#include "agent/schema/node.pb.h"
#include "init/base/text.h"

namespace steppe::model {
namespace {

constexpr uint32_t kPorts = 65536;

FlatResources task_resources(const schema::AllocatedTaskResources& task) {
  FlatResources flat;
  flat.cpu_shares = task.cpu().cpu_shares();
  flat.memory_mb = task.memory().memory_mb();
  flat.memory_max_mb = task.memory().memory_max_mb() != 0 ? task.memory().memory_max_mb() : flat.memory_mb;
  for (const uint64_t core : task.cpu().reserved_cores()) flat.cores.push_back(static_cast<uint32_t>(core));
  return flat;
}

// The larger in each dimension. Cores: all of either, none may go to another alloc meanwhile.
void take_max(FlatResources* into, const FlatResources& other) {
  into->cpu_shares = std::max(into->cpu_shares, other.cpu_shares);
  into->memory_mb = std::max(into->memory_mb, other.memory_mb);
  into->memory_max_mb = std::max(into->memory_max_mb, other.memory_max_mb);
  into->cores.insert(into->cores.end(), other.cores.begin(), other.cores.end());
}

struct HeldPort {
  std::string_view address;
  uint32_t port;
  bool shared;
  std::string_view label;
  auto key() const { return std::tie(address, port); }
};

void add_ports(const schema::AllocatedResources& resources, std::vector<HeldPort>* held) {
  const auto add = [held](std::string_view address, const schema::Port& port) {
    held->push_back({address, static_cast<uint32_t>(port.value()), port.ignore_collision(), port.label()});
  };
  for (const auto& port : resources.shared().ports()) {
    held->push_back({port.host_ip(), static_cast<uint32_t>(port.value()), port.ignore_collision(), port.label()});
  }
  // Group networks repeat what stands in the port mappings; only tasks still have networks of their own.
  for (const auto& [name, task] : resources.tasks()) {
    for (const auto& network : task.networks()) {
      for (const auto& port : network.reserved_ports()) add(network.ip(), port);
      for (const auto& port : network.dynamic_ports()) add(network.ip(), port);
    }
  }
}

// "reserved port collision LABEL=PORT", or nothing.
std::string port_collision(const schema::Node& node, std::vector<HeldPort> held) {
  std::vector<uint32_t> everywhere;
  parse_port_ranges(node.reserved_resources().networks().reserved_host_ports(), &everywhere);
  std::vector<std::pair<std::string_view, std::vector<uint32_t>>> by_address;
  for (const auto& network : node.node_resources().node_networks()) {
    for (const auto& address : network.addresses()) {
      by_address.emplace_back(address.address(), std::vector<uint32_t>());
      parse_port_ranges(address.reserved_ports(), &by_address.back().second);
    }
  }
  std::ranges::stable_sort(held, {}, &HeldPort::key);
  for (size_t i = 0; i < held.size(); ++i) {
    const HeldPort& port = held[i];
    bool taken = port.port >= kPorts || std::ranges::binary_search(everywhere, port.port);
    for (const auto& [address, reserved] : by_address) {
      taken = taken || (address == port.address && std::ranges::binary_search(reserved, port.port));
    }
    if (i > 0 && held[i - 1].key() == port.key()) taken = taken || !port.shared || !held[i - 1].shared;
    if (taken) return std::format("reserved port collision {}={}", port.label, port.port);
  }
  return {};
}

bool device_held_twice(std::span<const schema::Allocation* const> allocs) {
  using Instance = std::array<std::string_view, 4>;
  std::vector<Instance> held;
  for (const schema::Allocation* alloc : allocs) {
    if (client_terminal(*alloc)) continue;
    for (const auto& [name, task] : alloc->allocated_resources().tasks()) {
      for (const auto& device : task.devices()) {
        for (const auto& id : device.device_ids()) held.push_back({device.vendor(), device.type(), device.name(), id});
      }
    }
  }
  std::ranges::sort(held);
  return std::ranges::adjacent_find(held) != held.end();
}

// A sum that does not fit stays at the largest number: too much is never taken for little.
void add_to(int64_t* sum, int64_t value) {
  if (__builtin_add_overflow(*sum, value, sum)) *sum = value > 0 ? INT64_MAX : INT64_MIN;
}

double free_fraction(int64_t capacity, int64_t used) {
  if (capacity <= 0) return 0;
  return 1.0 - static_cast<double>(used) / static_cast<double>(capacity);
}

}  // namespace

void FlatResources::add(const FlatResources& other) {
  add_to(&cpu_shares, other.cpu_shares);
  add_to(&memory_mb, other.memory_mb);
  add_to(&memory_max_mb, other.memory_max_mb);
  add_to(&disk_mb, other.disk_mb);
  cores.insert(cores.end(), other.cores.begin(), other.cores.end());
  std::ranges::sort(cores);
}

std::string FlatResources::exceeded_by(const FlatResources& ask) const {
  if (ask.cpu_shares > cpu_shares) return "cpu";
  if (ask.memory_mb > memory_mb) return "memory";
  if (ask.disk_mb > disk_mb) return "disk";
  return {};
}

FlatResources alloc_resources(const schema::AllocatedResources& resources) {
  FlatResources before;
  FlatResources main;
  FlatResources after;
  for (const auto& [name, task] : resources.tasks()) {
    const FlatResources flat = task_resources(task);
    const auto found = resources.task_lifecycles().find(name);
    std::string_view hook;
    if (found != resources.task_lifecycles().end()) hook = found->second.hook();
    if (hook == "prestart") {
      before.add(flat);
      if (found->second.sidecar()) main.add(flat);
    } else if (hook == "poststop") {
      after.add(flat);
    } else {
      main.add(flat);
    }
  }
  take_max(&main, before);
  take_max(&main, after);
  std::ranges::sort(main.cores);
  main.cores.erase(std::ranges::unique(main.cores).begin(), main.cores.end());
  main.disk_mb = resources.shared().disk_mb();
  return main;
}

FlatResources node_resources(const schema::Node& node) {
  const schema::NodeResources& has = node.node_resources();
  const schema::NodeReservedResources& reserved = node.reserved_resources();
  FlatResources flat;
  flat.cpu_shares = has.cpu().cpu_shares() - reserved.cpu().cpu_shares();
  flat.memory_mb = has.memory().memory_mb() - reserved.memory().memory_mb();
  flat.memory_max_mb = flat.memory_mb;
  flat.disk_mb = has.disk().disk_mb() - reserved.disk().disk_mb();
  const auto& held = reserved.cpu().reserved_cpu_cores();
  for (const uint64_t core : has.cpu().reservable_cpu_cores()) {
    if (std::ranges::find(held, core) == held.end()) flat.cores.push_back(static_cast<uint32_t>(core));
  }
  std::ranges::sort(flat.cores);
  return flat;
}

FitResult allocs_fit(const schema::Node& node, std::span<const schema::Allocation* const> allocs) {
  FitResult result;
  std::vector<HeldPort> ports;
  for (const schema::Allocation* alloc : allocs) {
    if (client_terminal(*alloc)) continue;
    result.used.add(alloc_resources(alloc->allocated_resources()));
    add_ports(alloc->allocated_resources(), &ports);
  }
  const FlatResources capacity = node_resources(node);
  const bool cores_overlap = std::ranges::adjacent_find(result.used.cores) != result.used.cores.end();
  if (cores_overlap || !std::ranges::includes(capacity.cores, result.used.cores)) {
    result.dimension = "cores";
  } else if (result.dimension = capacity.exceeded_by(result.used); !result.dimension.empty()) {
  } else if (result.dimension = port_collision(node, std::move(ports)); !result.dimension.empty()) {
  } else if (device_held_twice(allocs)) {
    result.dimension = "device oversubscribed";
  }
  result.fits = result.dimension.empty();
  return result;
}

double score_binpack(const FlatResources& capacity, const FlatResources& used) {
  const double total = std::pow(10, free_fraction(capacity.cpu_shares, used.cpu_shares)) +
                       std::pow(10, free_fraction(capacity.memory_mb, used.memory_mb));
  return std::clamp(20.0 - total, 0.0, 18.0);
}

double score_spread(const FlatResources& capacity, const FlatResources& used) {
  const double total = std::pow(10, free_fraction(capacity.cpu_shares, used.cpu_shares)) +
                       std::pow(10, free_fraction(capacity.memory_mb, used.memory_mb));
  return std::clamp(total - 2.0, 0.0, 18.0);
}

bool parse_port_ranges(std::string_view text, std::vector<uint32_t>* out) {
  out->clear();
  if (trim(text).empty()) return true;
  for (const std::string_view part : split(text, ',')) {
    const size_t dash = part.find('-');
    const auto first = parse_uint(trim(part.substr(0, dash)));
    const auto last = dash == std::string_view::npos ? first : parse_uint(trim(part.substr(dash + 1)));
    if (!first.ok() || !last.ok() || *first > *last || *last >= kPorts) {
      out->clear();
      return false;
    }
    for (uint64_t port = *first; port <= *last; ++port) out->push_back(static_cast<uint32_t>(port));
  }
  std::ranges::sort(*out);
  out->erase(std::ranges::unique(*out).begin(), out->end());
  return true;
}

}  // namespace steppe::model
