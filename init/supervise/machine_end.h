#pragma once

#include "init/base/clock.h"
#include "init/base/result.h"
#include "init/supervise/supervisor.h"

namespace steppe::supervise {

// reboot(2). Comes back only when the kernel refuses.
void end_machine(Ending ending);

// From now on the machine ends at `at` (CLOCK_BOOTTIME) whatever this thread does: a second thread of PID 1, the only one, waits
// and calls reboot(2), and if that hangs in a driver's shutdown for ten seconds more, resets by /proc/sysrq-trigger. A thread,
// as a process could be killed with all the others and a timer's signal would wait for a stuck system call. Once.
Result<> force_end_at(MonoTime at, Ending ending);

}  // namespace steppe::supervise
