#pragma once

#include <cstdint>
#include <string>

#include "init/base/result.h"
#include "init/sys/kernel/mounts.h"

namespace steppe::kernel {

// A read-only mount of the file system image at `path` (squashfs or erofs), attached nowhere yet. It hangs on a loop device
// that the kernel frees with the last view of the mount. The image must be trusted: the kernel itself parses it.
//
// `path` is the administrator's (host_file.h); `attributes` are MOUNT_ATTR_*, read-only is added. Errors: kInvalid when the
// file is no such image; kUnsupported when the kernel has no loop devices or not this file system; kUnavailable when other
// processes took every loop device offered.
Result<DetachedMount> mount_image(const std::string& path, uint64_t attributes);

}  // namespace steppe::kernel
