#pragma once

#include <cstdint>
#include <string>

#include "init/base/bytes.h"
#include "init/base/result.h"

// File systems on the machine's own disks. All paths are the administrator's (host_file.h). All calls block.
namespace steppe::kernel {

struct MountRequest {
  std::string source, target, type;
  unsigned long flags = 0;  // MS_* of mount(2)
  std::string data;         // "" or what the file system itself understands
};
// kNotFound: no device, no mount point; kUnsupported: this kernel has no such file system; kCorrupt: the kernel refuses what is on
// the device (EUCLEAN, EINVAL, EFSBADCRC).
Result<> mount_device(const MountRequest& request);

// Grows a mounted ext4 to `size` (whole blocks of its own; the rest is left). Fine when it is that large already.
Result<> grow_ext4(const std::string& target, Bytes size);

struct Space {
  uint64_t total = 0, free = 0;
};
Result<Space> space_of(const std::string& target);

}  // namespace steppe::kernel
