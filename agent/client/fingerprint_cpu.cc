#include <algorithm>
#include <cmath>
#include <format>
#include <set>

#include "agent/client/fingerprint.h"
#include "agent/schema/node.pb.h"
#include "init/base/text.h"
#include "init/sys/kernel/host_file.h"

namespace steppe::client {
namespace {

constexpr uint64_t kGuessMhz = 1000;  // when nothing says anything: small, but never 0

std::string read_trimmed(const std::string& path) {
  auto text = kernel::read_host_file(path, Bytes::mib(4));
  return text.ok() ? std::string(trim(*text)) : "";
}

std::optional<uint64_t> read_number(const std::string& path) {
  auto value = parse_uint(read_trimmed(path));
  if (!value.ok()) return std::nullopt;
  return *value;
}

// "key : value" lines of /proc/cpuinfo; the first one counts.
std::string cpuinfo_value(std::string_view text, std::string_view key) {
  for (std::string_view line : split(text, '\n')) {
    size_t colon = line.find(':');
    if (colon == line.npos || trim(line.substr(0, colon)) != key) continue;
    return std::string(trim(line.substr(colon + 1)));
  }
  return "";
}

// "Intel(R) Xeon(R) CPU @ 2.40GHz" -> 2400
uint64_t mhz_in_name(std::string_view model) {
  size_t at = model.find('@');
  if (at == model.npos) return 0;
  std::string_view rest = trim(model.substr(at + 1));
  double scale = rest.ends_with("GHz") ? 1000 : rest.ends_with("MHz") ? 1 : 0;
  if (scale == 0) return 0;
  auto value = parse_double(trim(rest.substr(0, rest.size() - 3)));
  return value.ok() && *value > 0 && *value < 1e5 ? static_cast<uint64_t>(std::llround(*value * scale)) : 0;
}

struct Speeds {
  uint64_t base = 0, max = 0, guess = 0;
  uint64_t best() const { return base != 0 ? base : max != 0 ? max : guess; }
};

Speeds core_speeds(const std::string& cpu_dir, uint64_t guess) {
  Speeds out;
  out.base = read_number(cpu_dir + "/cpufreq/base_frequency").value_or(0) / 1000;
  out.max = read_number(cpu_dir + "/cpufreq/cpuinfo_max_freq").value_or(0) / 1000;
  out.guess = guess;
  return out;
}

uint64_t guess_mhz(const std::string& cpuinfo, const std::string& model) {
  if (uint64_t named = mhz_in_name(model)) return named;
  auto current = parse_double(cpuinfo_value(cpuinfo, "cpu MHz"));
  if (current.ok() && *current >= 1 && *current < 1e5) return static_cast<uint64_t>(std::llround(*current));
  return kGuessMhz;
}

std::string model_name(const std::string& root, const std::string& cpuinfo) {
  for (const char* key : {"model name", "Model", "Hardware", "cpu model"}) {
    if (std::string name = cpuinfo_value(cpuinfo, key); !name.empty()) return name;
  }
  std::string tree = read_trimmed(root + "/proc/device-tree/model");
  while (!tree.empty() && tree.back() == '\0') tree.pop_back();
  return tree;
}

std::vector<uint64_t> online_cpus(const std::string& root, const std::string& cpuinfo) {
  // What this agent may use, then what is online, then what cpuinfo lists.
  for (const char* path : {"/sys/fs/cgroup/cpuset.cpus.effective", "/sys/devices/system/cpu/online", "/sys/devices/system/cpu/present"}) {
    auto cpus = parse_cpuset(read_trimmed(root + path));
    if (cpus.ok() && !cpus->empty()) return *cpus;
  }
  std::vector<uint64_t> out;
  for (std::string_view line : split(cpuinfo, '\n')) {
    if (line.starts_with("processor")) out.push_back(out.size());
  }
  if (out.empty()) out.push_back(0);
  return out;
}

std::map<uint64_t, uint64_t> numa_of_cpu(const std::string& root, std::vector<uint64_t>& nodes, schema::CpuTopology& topology) {
  std::map<uint64_t, uint64_t> out;
  auto known = parse_cpuset(read_trimmed(root + "/sys/devices/system/node/online"));
  nodes = known.ok() ? *known : std::vector<uint64_t>{};
  if (nodes.empty()) nodes = {0};
  for (uint64_t node : nodes) {
    std::string dir = std::format("{}/sys/devices/system/node/node{}", root, node);
    auto cpus = parse_cpuset(read_trimmed(dir + "/cpulist"));
    if (cpus.ok()) {
      for (uint64_t cpu : *cpus) out[cpu] = node;
    }
    schema::CpuDistances& distances = *topology.add_distances();
    for (std::string_view word : split(read_trimmed(dir + "/distance"), ' ')) {
      if (auto value = parse_uint(word); value.ok()) distances.add_items(*value);
    }
    if (distances.items().empty()) distances.add_items(10);
  }
  return out;
}

}  // namespace

Result<std::vector<uint64_t>> parse_cpuset(std::string_view text) {
  std::set<uint64_t> out;
  text = trim(text);
  if (text.empty()) return std::vector<uint64_t>{};
  for (std::string_view part : split(text, ',')) {
    part = trim(part);
    size_t dash = part.find('-');
    auto first = parse_uint(part.substr(0, dash));
    auto last = dash == part.npos ? first : parse_uint(part.substr(dash + 1));
    if (!first.ok() || !last.ok() || *last < *first || *last - *first >= 65536 || out.size() >= 65536) {
      return Error(Code::kInvalid, std::format("\"{}\" is no set of cores: expected a form like 0-3,8", part));
    }
    for (uint64_t cpu = *first; cpu <= *last; ++cpu) out.insert(cpu);
  }
  return std::vector<uint64_t>(out.begin(), out.end());
}

void fingerprint_cpu(const NodeConfig& config, const std::string& root, schema::Node& node) {
  auto& attributes = *node.mutable_attributes();
  std::string cpuinfo = read_trimmed(root + "/proc/cpuinfo");
  std::string model = model_name(root, cpuinfo);
  uint64_t guess = guess_mhz(cpuinfo, model);
  std::vector<uint64_t> cpus = online_cpus(root, cpuinfo), numa_nodes;
  schema::CpuTopology& topology = *node.mutable_node_resources()->mutable_processors()->mutable_topology();
  std::map<uint64_t, uint64_t> numa = numa_of_cpu(root, numa_nodes, topology);
  auto efficient = parse_cpuset(read_trimmed(root + "/sys/devices/cpu_atom/cpus"));
  auto reservable = parse_cpuset(config.reservable_cores);
  auto withheld = parse_cpuset(config.reserved.cores);

  int64_t total = 0, usable = 0, count = 0, slow = 0, fast_mhz = 0, slow_mhz = 0;
  schema::LegacyNodeCpuResources& legacy = *node.mutable_node_resources()->mutable_cpu();
  for (uint64_t cpu : cpus) {
    std::string dir = std::format("{}/sys/devices/system/cpu/cpu{}", root, cpu);
    Speeds speeds = core_speeds(dir, guess);
    bool is_slow = efficient.ok() && std::ranges::binary_search(*efficient, cpu);
    bool may_reserve = (config.reservable_cores.empty() || (reservable.ok() && std::ranges::binary_search(*reservable, cpu))) &&
                       !(withheld.ok() && std::ranges::binary_search(*withheld, cpu));
    schema::CpuCore& core = *topology.add_cores();
    core.set_id(cpu);
    core.set_socket_id(read_number(dir + "/topology/physical_package_id").value_or(0));
    core.set_node_id(numa.contains(cpu) ? numa[cpu] : 0);
    core.set_grade(is_slow ? "efficiency" : "performance");
    core.set_disable(!may_reserve);
    core.set_base_speed(speeds.base);
    core.set_max_speed(speeds.max);
    core.set_guess_speed(speeds.guess);
    int64_t mhz = static_cast<int64_t>(speeds.best());
    total += mhz;
    if (may_reserve) {
      usable += mhz;
      legacy.add_reservable_cpu_cores(cpu);
    }
    ++count;
    (is_slow ? slow_mhz : fast_mhz) = mhz;
    slow += is_slow;
  }
  for (uint64_t id : numa_nodes) topology.add_node_ids(id);
  if (config.cpu_total_compute > 0) {
    topology.set_override_total_compute(static_cast<uint64_t>(config.cpu_total_compute));
    total = usable = config.cpu_total_compute;
  }
  legacy.set_cpu_shares(total);
  legacy.set_total_cpu_cores(static_cast<uint64_t>(count));
  attributes["cpu.numcores"] = std::to_string(count);
  attributes["cpu.frequency"] = std::to_string(fast_mhz != 0 ? fast_mhz : slow_mhz);
  if (slow > 0) {
    attributes["cpu.numcores.performance"] = std::to_string(count - slow);
    attributes["cpu.numcores.efficiency"] = std::to_string(slow);
    attributes["cpu.frequency.performance"] = std::to_string(fast_mhz);
    attributes["cpu.frequency.efficiency"] = std::to_string(slow_mhz);
  }
  if (!model.empty()) attributes["cpu.modelname"] = model;
  attributes["cpu.totalcompute"] = std::to_string(total);
  attributes["cpu.usablecompute"] = std::to_string(std::max<int64_t>(0, usable - config.reserved.cpu));
  attributes["cpu.reservablecores"] = std::to_string(legacy.reservable_cpu_cores_size());
  attributes["numa.node.count"] = std::to_string(numa_nodes.size());
  for (uint64_t id : numa_nodes) {
    std::vector<uint64_t> own;
    for (uint64_t cpu : cpus) {
      if ((numa.contains(cpu) ? numa[cpu] : 0) == id) own.push_back(cpu);
    }
    attributes[std::format("numa.node{}.cores", id)] = cpuset_text(own);
  }
}

}  // namespace steppe::client
