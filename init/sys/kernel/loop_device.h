#pragma once

#include <cstdint>
#include <string>

#include "init/base/result.h"
#include "init/sys/kernel/fd.h"

namespace steppe::kernel {

// A block device over a file, read-only, that the kernel takes apart when its last user is gone (LO_FLAGS_AUTOCLEAR): until something is
// mounted from it or stacked on it, that is `fd`.
struct LoopDevice {
  Fd fd;
  std::string path;  // "/dev/loop3"
};

struct LoopPart {
  uint64_t offset = 0;  // a multiple of 512
  uint64_t size = 0;    // 0: to the end of the file
  // Past the page cache where the file's system can do that, so that its blocks are not kept twice.
  enum class Cache : uint8_t { kYes, kNo } cache = Cache::kYes;
};

// `name` is shown beside the device and in errors. kUnsupported: this kernel has no loop devices; kUnavailable: other processes took
// every one that was offered. Needs CAP_SYS_ADMIN.
Result<LoopDevice> attach_loop(const Fd& file, const std::string& name, LoopPart part = {});

}  // namespace steppe::kernel
