#include "drivers/executor/limits.h"

#include <unistd.h>

#include <algorithm>
#include <format>

#include "init/base/text.h"
#include "init/sys/kernel/host_file.h"

namespace steppe::executor {
namespace {

constexpr size_t kMaxPids = 4096;

// Children of every thread, breadth first.
std::vector<int> descendants(int pid) {
  std::vector<int> out = {pid};
  for (size_t i = 0; i < out.size() && out.size() < kMaxPids; ++i) {
    auto tasks = kernel::Beneath::at(std::format("/proc/{}/task", out[i]));
    if (!tasks.ok()) continue;
    auto threads = tasks->list("");
    if (!threads.ok()) continue;
    for (const kernel::DirectoryEntry& thread : *threads) {
      auto children = kernel::read_host_file(std::format("/proc/{}/task/{}/children", out[i], thread.name));
      if (!children.ok()) continue;
      for (std::string_view word : split(*children, ' ')) {
        if (auto child = parse_int(trim(word)); child.ok()) out.push_back(static_cast<int>(*child));
      }
    }
  }
  return out;
}

struct ProcessUse {
  uint64_t rss = 0, user_ns = 0, system_ns = 0;
};

// /proc/PID/stat: the fields behind the command's closing parenthesis (proc_pid_stat(5)).
ProcessUse process_use(int pid) {
  ProcessUse out;
  auto text = kernel::read_host_file(std::format("/proc/{}/stat", pid));
  if (!text.ok()) return out;
  size_t end = text->rfind(')');
  if (end == std::string::npos) return out;
  auto fields = split(std::string_view(*text).substr(end + 2), ' ');
  auto number = [&](size_t i) { return i < fields.size() ? parse_uint(fields[i]) : Result<uint64_t>(0u); };
  auto ticks = static_cast<uint64_t>(::sysconf(_SC_CLK_TCK));
  auto to_ns = [&](size_t i) {
    auto value = number(i);
    return value.ok() ? *value * 1'000'000'000 / ticks : 0;
  };
  out.user_ns = to_ns(11);
  out.system_ns = to_ns(12);
  if (auto pages = number(21); pages.ok()) out.rss = *pages * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  return out;
}

void read_memory(const kernel::Cgroup& cgroup, drivers::TaskStats& out) {
  auto value = [&](std::string_view file) -> std::optional<Bytes> {
    auto text = cgroup.read(file);
    if (!text.ok()) return std::nullopt;
    auto number = parse_uint(trim(*text));
    return number.ok() ? std::optional(Bytes{*number}) : std::nullopt;
  };
  out.memory_usage = value("memory.current");
  out.memory_max_usage = value("memory.peak");
  out.memory_swap = value("memory.swap.current");
  auto text = cgroup.read("memory.stat");
  if (!text.ok()) return;
  auto keys = kernel::parse_flat_keyed(*text);
  out.memory_rss = Bytes{keys["anon"]};
  out.memory_cache = Bytes{keys["file"]};
}

}  // namespace

int64_t cpu_weight(int64_t shares) {
  shares = std::clamp<int64_t>(shares, 2, 262'144);
  return 1 + (shares - 2) * 9999 / 262'142;
}

std::vector<std::pair<std::string, std::string>> cgroup_settings(const Host& host, const drivers::Resources& r, bool oom_group) {
  std::vector<std::pair<std::string, std::string>> out;
  auto add = [&](const char* file, std::string value) { out.emplace_back(file, std::move(value)); };
  if (host.has_controller("cpu")) {
    if (r.cpu_mhz > 0) add("cpu.weight", std::to_string(cpu_weight(r.cpu_mhz)));
    if (r.cpu_quota_percent) add("cpu.max", std::format("{} 100000", std::max<int64_t>(*r.cpu_quota_percent * 1000, 1000)));
  }
  if (host.has_controller("cpuset") && !r.cores.empty()) add("cpuset.cpus", r.cores);
  if (host.has_controller("memory") && r.memory.count > 0) {
    bool over = r.memory_max > r.memory;
    if (over) add("memory.low", std::to_string(r.memory.count));
    add("memory.max", std::to_string(over ? r.memory_max.count : r.memory.count));
    add("memory.swap.max", "0");
    if (oom_group) add("memory.oom.group", "1");
  }
  if (host.has_controller("pids") && r.pids_max > 0) add("pids.max", std::to_string(r.pids_max));
  if (host.has_controller("io") && r.io_weight > 0) add("io.weight", std::format("default {}", std::clamp<int64_t>(r.io_weight, 1, 10'000)));
  return out;
}

drivers::TaskStats read_stats(const Host& host, const kernel::Cgroup* cgroup, int task_pid) {
  drivers::TaskStats out;
  out.at = host.clock().wall();
  if (cgroup != nullptr) {
    auto procs = cgroup->read("cgroup.procs");
    for (std::string_view line : split(procs.ok() ? *procs : "", '\n')) {
      if (auto pid = parse_int(line); pid.ok() && out.pids.size() < kMaxPids) out.pids.push_back(static_cast<int>(*pid));
    }
    auto cpu = cgroup->read("cpu.stat");
    if (cpu.ok()) {
      auto keys = kernel::parse_flat_keyed(*cpu);
      out.cpu_total_ns = keys["usage_usec"] * 1000;
      out.cpu_user_ns = keys["user_usec"] * 1000;
      out.cpu_system_ns = keys["system_usec"] * 1000;
      if (keys.contains("nr_throttled")) {
        out.throttled_periods = keys["nr_throttled"];
        out.throttled_ns = keys["throttled_usec"] * 1000;
      }
    }
    if (host.has_controller("memory")) {
      read_memory(*cgroup, out);
      return out;
    }
  } else {
    out.pids = descendants(task_pid);
  }
  uint64_t rss = 0, user = 0, system = 0;
  for (int pid : out.pids) {
    ProcessUse use = process_use(pid);
    rss += use.rss;
    user += use.user_ns;
    system += use.system_ns;
  }
  out.memory_rss = out.memory_usage = Bytes{rss};
  if (!out.cpu_total_ns) {
    out.cpu_user_ns = user;
    out.cpu_system_ns = system;
    out.cpu_total_ns = user + system;
  }
  return out;
}

}  // namespace steppe::executor
