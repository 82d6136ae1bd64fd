#include "init/sys/kernel/image_mount.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <format>

#include "init/sys/kernel/host_file.h"
#include "init/sys/kernel/loop_device.h"

namespace steppe::kernel {
namespace {

struct Kind {
  const char* type;
  off_t at;
  std::array<unsigned char, 4> magic;
};
// Documentation/filesystems/squashfs.rst and erofs.rst: the first field of the superblock, little-endian.
constexpr Kind kKinds[] = {{"squashfs", 0, {'h', 's', 'q', 's'}}, {"erofs", 1024, {0xe2, 0xe1, 0xf5, 0xe0}}};

Result<const Kind*> kind_of(const Fd& file, const std::string& path) {
  for (const Kind& kind : kKinds) {
    std::array<unsigned char, 4> head{};
    const ssize_t n = ::pread(file.get(), head.data(), head.size(), kind.at);
    if (n < 0) return Error::from_errno(errno, std::format("read {}", path));
    if (static_cast<size_t>(n) == head.size() && head == kind.magic) return &kind;
  }
  return Error(Code::kInvalid, std::format("{} is neither a squashfs nor an erofs image", path));
}

}  // namespace

Result<DetachedMount> mount_image(const std::string& path, uint64_t attributes) {
  STEPPE_TRY(Fd file, open_host(path, O_RDONLY));
  STEPPE_TRY(const Kind* kind, kind_of(file, path));
  STEPPE_TRY(LoopDevice device, attach_loop(file, path));
  Result<DetachedMount> mount = DetachedMount::make(kind->type, {{"source", device.path}, {"ro", ""}}, attributes | MOUNT_ATTR_RDONLY);
  if (mount.ok()) return mount;
  if (mount.error().sys_errno() == ENODEV) {
    return Error(Code::kUnsupported, std::format("{}: this kernel has no {}", path, kind->type));
  }
  return std::move(mount).error().wrap(path);
}

}  // namespace steppe::kernel
