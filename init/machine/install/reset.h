#pragma once

#include <functional>
#include <string>
#include <vector>

#include "init/machine/disk_plan.h"
#include "init/machine/storage/hardware.h"
#include "init/sys/kernel/beneath.h"
#include "init/sys/kernel/mounts.h"

namespace steppe::install {

// Factory reset: state and data as at the machine's first start; images and the ESP stay. Nothing is pulled away from who uses it: the
// partitions are marked in the table (kUnfinished, kKeepConfig), and the next start formats them. Each mark goes when its partition is
// done, so that a start that is cut off does it again.

enum class Keep : uint8_t { kNothing, kConfiguration };

struct Marked {
  std::string disk;
  uint32_t number = 0;
  uint64_t bits = 0;
};

// Which partitions are marked, data before state. Those that are mounted on /state and /data; else (a damaged one is not mounted) the
// one of its type on the disk that was booted from, or the only one. kNotFound: the machine has neither. kInvalid: several could be
// meant. kExists: with Keep::kConfiguration, when a reset of everything was asked for already. Pure.
Result<std::vector<Marked>> choose_marks(const std::vector<machine::DiskFacts>& disks, const std::vector<kernel::MountEntry>& mounts, Keep keep);

// Marks them; a disk is one change. Returns their names, "/dev/vda3 and /dev/vda2".
Result<std::string> mark_for_reset(storage::Hardware& hardware, const std::vector<kernel::MountEntry>& mounts, Keep keep);

// At the next start, when `state` ("/dev/vda2") is mounted as `root` and nobody uses it yet: if it is marked to keep its configuration
// alone, everything else goes, then the mark. Returns whether it was.
Result<bool> empty_marked_state(storage::Hardware& hardware, const std::string& state, const kernel::Beneath& root);

}  // namespace steppe::install
