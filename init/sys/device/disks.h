#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "init/base/result.h"

namespace steppe::device {

struct DiskPartition {
  std::string path;  // "/dev/vda1"
  uint32_t number = 0;
  uint64_t offset = 0, bytes = 0;
};

struct Disk {
  std::string name, path;  // "vda", "/dev/vda"
  uint64_t bytes = 0;
  uint32_t block_bytes = 512;
  bool removable = false, read_only = false;
  std::string serial;               // "" where the device says none
  std::vector<std::string> links;   // what udev would call it, as far as that follows from sysfs alone: "/dev/disk/by-id/virtio-SERIAL", by-path
  std::vector<DiskPartition> partitions;  // as the kernel knows them, by number
};

// The machine's disks, by name. Left out: what has no medium, and what is made of other things (loop, ram, zram, dm, md, nbd), optical
// drives, and the boot and replay-protected areas of eMMC. `root` is "/" but in tests. At most 256 (kExhausted). Blocks.
Result<std::vector<Disk>> enumerate_disks(const std::string& root = "/");

// Whether the machine has a controller that may still bring disks: PCI class 01 (mass storage) or 0805 (SD), or any USB device that
// is mass storage. `root` as above.
bool has_disk_controller(const std::string& root = "/");

}  // namespace steppe::device
