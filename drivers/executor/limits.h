#pragma once

#include <string>
#include <utility>
#include <vector>

#include "drivers/api/driver.h"
#include "drivers/executor/host.h"

namespace steppe::executor {

// Nomad's conversion of MHz shares to cgroup v2's 1..10000: the kernel's own mapping of cpu.shares 2..262144.
int64_t cpu_weight(int64_t shares);

// The files to write into a task's cgroup, in order, for the controllers that are there.
std::vector<std::pair<std::string, std::string>> cgroup_settings(const Host& host, const drivers::Resources& resources, bool oom_group);

// The task's numbers from its cgroup, or from /proc of `task_pid` and its descendants when there is none.
drivers::TaskStats read_stats(const Host& host, const kernel::Cgroup* cgroup, int task_pid);

}  // namespace steppe::executor
