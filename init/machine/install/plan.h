#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "init/machine/disk_plan.h"
#include "init/sys/device/disks.h"

namespace steppe::install {

// The order is the safety: cut off between any two of them, or within one, a disk is either one that no firmware starts, or
// installed as a whole.
enum class Step : uint8_t {
  kTable,       // a new table with an ESP that is marked as unfinished; what was on the disk is gone
  kFormat,      // FAT32 on it
  kMount,
  kImage,       // under a name that nothing starts: written, synced, read back past the caches, its digest compared, judged
  kSettings,    // what lies beside it: the boot loader's, steppe.hcl
  kLoader,      // under a name that nothing starts, as the image
  kTableWhole,  // the ESP is finished; state and data are there, unfinished, for the first start to format. One change
  kNameImage,
  kNameLoader,  // from here on firmware starts this disk
  kUnmount,
};
std::string_view step_name(Step step);  // "write the image"
const std::vector<Step>& order();

// What is known of the disk that is meant.
struct Target {
  machine::DiskFacts facts;
  bool read_only = false;
  std::string used;  // "/dev/vdb1 is mounted on /data"; "": by nobody
  std::vector<device::DiskPartition> known;  // as the kernel has them
};

// The partitions of an installed disk, ESP, state and data, each without `unique`. kExhausted, with the numbers: the disk is too small.
// The ESP has room for three images.
Result<std::vector<machine::Partition>> lay_out(const machine::DiskFacts& disk, uint64_t image_bytes);

// Whether the disk may be installed to. Nothing: read-only (kDenied), used or started from (kUnavailable), too small (kExhausted),
// unreadable (kIo); and, unless `wipe`, one that holds something (kExists). What an installation that was cut off left is nothing.
Result<> check_target(const Target& target, bool wipe, uint64_t image_bytes);

}  // namespace steppe::install
