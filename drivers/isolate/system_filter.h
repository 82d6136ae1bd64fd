#pragma once

#include <linux/filter.h>

#include <string>
#include <string_view>
#include <vector>

#include "init/base/result.h"
#include "init/sys/kernel/capabilities.h"

namespace steppe::isolate {

// One denied group of system calls, with the reason that stands in the documentation and the golden test.
struct DeniedCalls {
  const char* reason;
  int error;                                  // what the task sees
  std::vector<const char*> names;
  kernel::CapabilitySet unless = 0;           // allowed when one of these capabilities is in the bounding set
};
const std::vector<DeniedCalls>& denied_calls();

// The seccomp program for tasks: every call of denied_calls() fails with its error, clone and unshare refuse new user
// namespaces, clone3 is ENOSYS (its flags lie in memory where a filter cannot look; C libraries then fall back to
// clone), ioctl refuses TIOCSTI and TIOCLINUX, personality refuses what weakens address randomisation. The 32-bit ABI of
// x86 gets the same rules; any other ABI is ENOSYS. Built with libseccomp once and then loaded as it is.
Result<std::vector<sock_filter>> build_system_filter(kernel::CapabilitySet bounding);

}  // namespace steppe::isolate
