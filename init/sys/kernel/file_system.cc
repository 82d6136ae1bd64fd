#include "init/sys/kernel/file_system.h"

#include <fcntl.h>
#include <linux/types.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/statfs.h>

#include <cerrno>
#include <format>

#include "init/sys/kernel/host_file.h"

// Documentation/filesystems/ext4: grows to a number of blocks, while mounted.
#define STEPPE_EXT4_RESIZE _IOW('f', 16, __u64)

namespace steppe::kernel {

Result<> mount_device(const MountRequest& request) {
  if (::mount(request.source.c_str(), request.target.c_str(), request.type.c_str(), request.flags, request.data.empty() ? nullptr : request.data.c_str()) == 0) return {};
  const std::string what = std::format("mount {} on {} ({})", request.source, request.target, request.type);
  const int number = errno;
  if (number == ENODEV) return {Code::kUnsupported, what + ": this kernel has no such file system"};
  if (number == EUCLEAN || number == EINVAL || number == EBADMSG) return {Code::kCorrupt, what + ": the kernel refuses what is there"};
  return Error::from_errno(number, what);
}

Result<> grow_ext4(const std::string& target, Bytes size) {
  STEPPE_TRY(Fd directory, open_host(target, O_RDONLY | O_DIRECTORY));
  struct statfs st;
  if (::fstatfs(directory.get(), &st) != 0) return Error::from_errno(errno, "look at " + target);
  __u64 blocks = size.count / static_cast<uint64_t>(st.f_bsize);
  if (::ioctl(directory.get(), STEPPE_EXT4_RESIZE, &blocks) == 0) return {};
  return Error::from_errno(errno, std::format("grow the file system on {} to {} MiB", target, size.count >> 20));
}

Result<Space> space_of(const std::string& target) {
  struct statfs st;
  if (::statfs(target.c_str(), &st) != 0) return Error::from_errno(errno, "ask for the space on " + target);
  const auto block = static_cast<uint64_t>(st.f_bsize);
  return Space{static_cast<uint64_t>(st.f_blocks) * block, static_cast<uint64_t>(st.f_bavail) * block};
}

}  // namespace steppe::kernel
