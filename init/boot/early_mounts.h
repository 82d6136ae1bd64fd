#pragma once

#include <span>

#include "init/base/result.h"

namespace steppe::boot {

// One mount that every Linux system has. `data` may be null.
struct EarlyMount {
  const char* type;
  const char* target;
  unsigned long flags;  // MS_* of mount(2)
  const char* data;
  enum class Need : unsigned char { kRequired, kOptional } need;
};

// /dev /proc /sys /run, in the kernel's first root: what finding and mounting the real one needs. They move with it.
std::span<const EarlyMount> first_mounts();
// All others, in the real root, in this order: /dev/pts /dev/shm /tmp /var and the kernel's own file systems.
// /var, /state and /data are in memory; the machine's partitions are mounted over the last two.
std::span<const EarlyMount> root_mounts();

// Mounts the rows in order; a missing mount point is made where that is possible (mode 0755). A file system that is
// mounted there already is fine. An optional one that fails is left out (ENODEV: this kernel has no such file system; the
// point is missing). The error of a required one names it. Needs CAP_SYS_ADMIN; blocks only as the kernel does for file
// systems without a device.
Result<> mount_all(std::span<const EarlyMount> rows);

// The whole tree of this mount namespace is shared from here on ("rshared"): a container's mounts are seen by those who
// ask for it.
Result<> share_mounts();

// Descriptors 0, 1 and 2 are /dev/null where the kernel gave us none (no console): else the first file that we open
// would be somebody's standard output.
void fill_standard_descriptors();

}  // namespace steppe::boot
