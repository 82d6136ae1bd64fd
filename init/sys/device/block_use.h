#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "init/base/result.h"

namespace steppe::device {

// What a block device is and who uses it, before something is written over it.
struct BlockUse {
  std::string name;  // the kernel's: "sdb", "sdb1", "loop0"
  std::string disk;  // the disk that a partition is on; "" when it is a whole disk itself
  uint64_t bytes = 0;
  bool removable = false, read_only = false;
  std::string model, serial;        // "" where the device says none
  std::vector<std::string> uses;    // for people: "sdb2 is mounted at /mnt", "sdb3 is swap", "sdb is a part of dm-0"
  bool has_root = false;            // the running system's root is on it
};

// By sysfs, /proc/self/mountinfo and /proc/swaps below `root` ("/" but in tests). Looks at the device, its partitions and all
// that is made of them (device mapper, RAID). Mounts of other namespaces are not seen: who opens the device alone
// (kernel::BlockDevice) learns of them from the kernel. kNotFound: no such device. Blocks.
Result<BlockUse> block_use(const std::string& name, const std::string& root = "/");

// The kernel's name of the block device at a path of the host, links followed. kInvalid: it is something else.
Result<std::string> block_name(const std::string& path);

}  // namespace steppe::device
