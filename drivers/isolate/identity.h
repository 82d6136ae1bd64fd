#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "drivers/api/driver.h"
#include "drivers/isolate/account.h"
#include "drivers/isolate/plan_builder.h"
#include "init/sys/kernel/capabilities.h"

namespace steppe::isolate {

// Nomad's default set for isolated tasks: Docker's without NET_RAW.
kernel::CapabilitySet default_capabilities();

// The bounding set of a task: the driver's allowed set, plus cap_add, minus cap_drop. kInvalid names an unknown
// capability, kDenied one that is added though the driver does not allow it.
Result<kernel::CapabilitySet> task_capabilities(kernel::CapabilitySet allowed, const std::vector<std::string>& add,
                                                const std::vector<std::string>& drop);

// Only tests leave parts out, to prove that the golden listing notices.
struct Mutations {
  bool no_seccomp = false, no_namespaces = false, no_pivot = false, no_cgroup_limits = false, no_oom_group = false;
};

// Who the task is and what it may do.
struct Identity {
  Account account;
  kernel::CapabilitySet bounding = 0;
  kernel::CapabilitySet ambient = 0;  // what cap_add names, for a user that is not root
  std::vector<drivers::RlimitSetting> rlimits;
  std::span<const sock_filter> filter;  // empty: none
  bool no_new_privileges = true;
  std::string work_dir;                 // entered as the user
};

// Appends the steps from rlimits to the filter, in the only order that works: limits and keyring while still root,
// bounding set, groups, ids, then what the change of ids clears (death signal, capabilities), work_dir as the user,
// and the filter last, as it forbids some of the above.
void add_identity(PlanBuilder& plan, const Identity& identity);

// The paths to try for `command`: itself when it holds a slash, else one for each entry of PATH in `env`, else the
// standard directories.
std::vector<std::string> command_candidates(const std::string& command, const std::vector<std::string>& env);

}  // namespace steppe::isolate
