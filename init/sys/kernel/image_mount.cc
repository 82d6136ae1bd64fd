#include "init/sys/kernel/image_mount.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <linux/mount.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <format>

#include "init/sys/kernel/host_file.h"

namespace steppe::kernel {
namespace {

constexpr int kTries = 16;

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

struct LoopDevice {
  Fd fd;
  std::string path;
};

// A free device is only known to be one until another process takes it: asked for again then.
Result<LoopDevice> attach_loop(const Fd& file, const std::string& path) {
  auto control = open_host("/dev/loop-control", O_RDWR);
  if (!control.ok()) return Error(Code::kUnsupported, std::format("{}: this kernel has no loop devices ({})", path, control.error().message()));
  for (int i = 0; i < kTries; ++i) {
    const int number = ::ioctl(control->get(), LOOP_CTL_GET_FREE);
    if (number < 0) return Error::from_errno(errno, "find a free loop device");
    LoopDevice out{Fd(), std::format("/dev/loop{}", number)};
    STEPPE_TRY(out.fd, open_host(out.path, O_RDONLY));
    loop_config config = {};
    config.fd = static_cast<uint32_t>(file.get());
    config.info.lo_flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR;
    std::strncpy(reinterpret_cast<char*>(config.info.lo_file_name), path.c_str(), LO_NAME_SIZE - 1);
    if (::ioctl(out.fd.get(), LOOP_CONFIGURE, &config) == 0) return out;
    if (errno != EBUSY) return Error::from_errno(errno, std::format("put {} on {}", path, out.path));
  }
  return Error(Code::kUnavailable, std::format("{}: other processes took every loop device, {} times", path, kTries));
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
