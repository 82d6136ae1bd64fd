#include "agent/client/usage.h"

#include <algorithm>

#include "agent/schema/stats.pb.h"
#include "init/base/text.h"

namespace steppe::client {
namespace {

double percent(uint64_t before, uint64_t now, Duration elapsed) {
  if (elapsed.count() <= 0 || now < before) return 0;
  return 100.0 * static_cast<double>(now - before) / static_cast<double>(elapsed.count());
}

struct CpuLine {
  uint64_t user = 0, system = 0, idle = 0, total = 0;
};

// "cpu0 user nice system idle iowait irq softirq steal guest guest_nice" (proc_stat(5)), in clock ticks.
std::map<std::string, CpuLine> read_cpu_lines(std::string_view stat) {
  std::map<std::string, CpuLine> out;
  for (std::string_view line : split(stat, '\n')) {
    if (!line.starts_with("cpu")) continue;
    CpuLine cpu;
    std::string name;
    int field = 0;
    for (std::string_view word : split(line, ' ')) {
      if (word.empty()) continue;
      if (field == 0) name = word;
      auto value = parse_uint(word);
      uint64_t ticks = field > 0 && value.ok() ? *value : 0;
      if (field >= 1 && field <= 8) cpu.total += ticks;
      if (field == 1 || field == 2) cpu.user += ticks;
      if (field == 3 || field == 6 || field == 7) cpu.system += ticks;
      if (field == 4 || field == 5) cpu.idle += ticks;
      ++field;
    }
    out[name] = cpu;
  }
  return out;
}

uint64_t meminfo_bytes(std::string_view text, std::string_view key) {
  for (std::string_view line : split(text, '\n')) {
    if (!line.starts_with(key) || line.size() <= key.size() || line[key.size()] != ':') continue;
    std::string_view rest = trim(line.substr(key.size() + 1));
    auto value = parse_uint(rest.substr(0, rest.find(' ')));
    return value.ok() ? *value << 10 : 0;
  }
  return 0;
}

}  // namespace

void UsageMeter::task(const std::string& key, const drivers::TaskStats& stats, MonoTime now, schema::ResourceUsage& out) {
  schema::MemoryStats& memory = *out.mutable_memory_stats();
  auto measure = [&](const std::optional<Bytes>& from, const char* name, auto set) {
    if (!from) return;
    (memory.*set)(from->count);
    memory.add_measured(name);
  };
  measure(stats.memory_rss, "RSS", &schema::MemoryStats::set_rss);
  measure(stats.memory_cache, "Cache", &schema::MemoryStats::set_cache);
  measure(stats.memory_swap, "Swap", &schema::MemoryStats::set_swap);
  measure(stats.memory_usage, "Usage", &schema::MemoryStats::set_usage);
  measure(stats.memory_max_usage, "Max Usage", &schema::MemoryStats::set_max_usage);

  schema::CpuStats& cpu = *out.mutable_cpu_stats();
  Last last{now, stats.cpu_user_ns.value_or(0), stats.cpu_system_ns.value_or(0), stats.cpu_total_ns.value_or(0)};
  auto found = last_.find(key);
  if (found != last_.end() && stats.cpu_total_ns) {
    Duration elapsed = now - found->second.at;
    cpu.set_user_mode(percent(found->second.user_ns, last.user_ns, elapsed));
    cpu.set_system_mode(percent(found->second.system_ns, last.system_ns, elapsed));
    cpu.set_percent(percent(found->second.total_ns, last.total_ns, elapsed));
    cpu.set_total_ticks(cpu.percent() / 100 * mhz_);
  }
  if (stats.cpu_total_ns) {
    for (const char* name : {"System Mode", "User Mode", "Percent"}) cpu.add_measured(name);
  }
  if (stats.throttled_periods) cpu.set_throttled_periods(*stats.throttled_periods);
  if (stats.throttled_ns) cpu.set_throttled_time(*stats.throttled_ns);
  last_[key] = last;
}

void add_usage(const schema::ResourceUsage& one, schema::ResourceUsage& sum) {
  schema::MemoryStats& memory = *sum.mutable_memory_stats();
  memory.set_rss(memory.rss() + one.memory_stats().rss());
  memory.set_cache(memory.cache() + one.memory_stats().cache());
  memory.set_swap(memory.swap() + one.memory_stats().swap());
  memory.set_usage(memory.usage() + one.memory_stats().usage());
  memory.set_max_usage(memory.max_usage() + one.memory_stats().max_usage());
  schema::CpuStats& cpu = *sum.mutable_cpu_stats();
  cpu.set_user_mode(cpu.user_mode() + one.cpu_stats().user_mode());
  cpu.set_system_mode(cpu.system_mode() + one.cpu_stats().system_mode());
  cpu.set_percent(cpu.percent() + one.cpu_stats().percent());
  cpu.set_total_ticks(cpu.total_ticks() + one.cpu_stats().total_ticks());
  cpu.set_throttled_periods(cpu.throttled_periods() + one.cpu_stats().throttled_periods());
  cpu.set_throttled_time(cpu.throttled_time() + one.cpu_stats().throttled_time());
  if (memory.measured().empty()) *memory.mutable_measured() = one.memory_stats().measured();
  if (cpu.measured().empty()) *cpu.mutable_measured() = one.cpu_stats().measured();
}

void host_stats(const HostSample& now, const std::optional<HostSample>& before, double total_mhz, schema::HostStats& out) {
  schema::HostMemoryStats& memory = *out.mutable_memory();
  memory.set_total(meminfo_bytes(now.meminfo, "MemTotal"));
  memory.set_available(meminfo_bytes(now.meminfo, "MemAvailable"));
  memory.set_free(meminfo_bytes(now.meminfo, "MemFree"));
  memory.set_used(memory.total() - std::min(memory.total(), memory.available()));
  auto uptime = parse_double(now.uptime.substr(0, now.uptime.find(' ')));
  if (uptime.ok()) out.set_uptime(static_cast<uint64_t>(*uptime));

  std::map<std::string, CpuLine> cpus = read_cpu_lines(now.stat), old;
  if (before) old = read_cpu_lines(before->stat);
  size_t count = cpus.size() > 1 ? cpus.size() - 1 : 1;
  for (const auto& [name, cpu] : cpus) {
    CpuLine past = old.contains(name) ? old[name] : CpuLine{};
    double total = static_cast<double>(cpu.total - std::min(cpu.total, past.total));
    auto share = [&](uint64_t a, uint64_t b) { return total <= 0 ? 0.0 : 100.0 * static_cast<double>(a - std::min(a, b)) / total; };
    double busy = total <= 0 ? 0 : 100.0 - share(cpu.idle, past.idle);
    if (name == "cpu") {
      out.set_cpu_ticks_consumed(busy / 100 * total_mhz);
      continue;
    }
    schema::HostCPUStats& one = *out.add_cpu();
    one.set_cpu(name);
    one.set_user(share(cpu.user, past.user));
    one.set_system(share(cpu.system, past.system));
    one.set_idle(share(cpu.idle, past.idle));
    one.set_total_percent(busy);
    one.set_total_ticks(busy / 100 * total_mhz / static_cast<double>(count));
  }
}

}  // namespace steppe::client
