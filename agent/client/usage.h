#pragma once

#include <map>
#include <optional>
#include <string>

#include "drivers/api/driver.h"
#include "init/base/clock.h"

namespace steppe::schema {
class AllocResourceUsage;
class HostStats;
class ResourceUsage;
}

namespace steppe::client {

// Turns counters into the percentages that the API shows: the rate since the last look at the same thing.
class UsageMeter {
 public:
  // `mhz`: speed of one core, for ticks.
  explicit UsageMeter(double mhz) : mhz_(mhz) {}
  void set_mhz(double mhz) { mhz_ = mhz; }
  // `key` names the task across calls: "<alloc>/<task>".
  void task(const std::string& key, const drivers::TaskStats& stats, MonoTime now, schema::ResourceUsage& out);
  void forget(const std::string& key) { last_.erase(key); }

 private:
  struct Last {
    MonoTime at;
    uint64_t user_ns = 0, system_ns = 0, total_ns = 0;
  };
  double mhz_;
  std::map<std::string, Last> last_;
};

void add_usage(const schema::ResourceUsage& one, schema::ResourceUsage& sum);

// The host's numbers from /proc text: memory, processors, uptime. Rates need the sample before.
struct HostSample {
  std::string meminfo, stat, uptime;  // the files' text
  MonoTime at;
};
void host_stats(const HostSample& now, const std::optional<HostSample>& before, double total_mhz, schema::HostStats& out);

}  // namespace steppe::client
