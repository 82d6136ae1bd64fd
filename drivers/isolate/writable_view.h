#pragma once

#include <string>
#include <string_view>

#include "init/base/result.h"
#include "init/sys/kernel/beneath.h"
#include "init/sys/kernel/fd.h"
#include "init/sys/kernel/mounts.h"

namespace steppe::isolate {

// A view of the directory `lower` in which everything may be changed: an overlayfs (Documentation/filesystems/overlayfs.rst)
// whose changes lie beneath `task_dir`, in private/overlay/NAME/, NAME being `destination` with its slashes escaped.
// `lower` itself is never written to. Only the mount that `lower` lies in is seen; what is mounted below it is not.
//
// The layers that an earlier attempt of the task left are taken up again. That attempt's processes must have ended: two
// mounts that write to one upper layer damage it.
//
// Both descriptors must be reachable in the caller's mount namespace. Errors: kUnsupported when the kernel has no overlayfs
// or the file system of `task_dir` cannot hold an upper layer; kInvalid when `task_dir` lies within `lower`.
Result<kernel::DetachedMount> make_writable_view(const kernel::Beneath& task_dir, const kernel::Fd& lower, std::string_view source,
                                                 std::string_view destination);

// Where the layers lie, relative to the task directory: private to the agent, and covered in the task's root.
inline constexpr std::string_view kLayersParent = "private";
std::string layers_of(std::string_view destination);

}  // namespace steppe::isolate
