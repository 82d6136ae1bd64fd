#pragma once

namespace steppe::vm {

// A process that ignores SIGTERM, in the tasks' cgroup.
void leave_ignorer();
// A process that waits uninterruptibly for itself, in the tasks' cgroup, on a file system mounted at /tmp: nothing ends it.
void leave_undying();

}  // namespace steppe::vm
