#pragma once

#include <span>
#include <string>
#include <vector>

#include "init/sys/kernel/mounts.h"

namespace steppe::supervise {

// What to unmount before the machine ends, in this order: deepest first, and of two at one place the later one first. Left out:
// "/", what the kernel itself provides (proc, sysfs, cgroup2, devtmpfs and the like; nothing on them is lost), and /run, where PID 1
// is. Pure.
std::vector<std::string> unmount_order(std::span<const kernel::MountEntry> mounts);

// The program of the child that PID 1 runs at the end: umount(2) hangs when a disk does, and names of mounts are chosen by tasks.
// Ten rounds half a second apart while something is busy; then network file systems are detached and what is left is made
// read-only. Says on the console how many went and what stayed. 0 when none stayed.
int run_unmount();

// The program of the child after it: sync(2).
int run_sync();

}  // namespace steppe::supervise
