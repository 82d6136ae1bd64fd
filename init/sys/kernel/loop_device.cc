#include "init/sys/kernel/loop_device.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstring>
#include <format>

#include "init/sys/kernel/host_file.h"

namespace steppe::kernel {
namespace {
constexpr int kTries = 16;
}

// A free device is only known to be one until another process takes it: asked for again then.
Result<LoopDevice> attach_loop(const Fd& file, const std::string& name, LoopPart part) {
  auto control = open_host("/dev/loop-control", O_RDWR);
  if (!control.ok()) return Error(Code::kUnsupported, std::format("{}: this kernel has no loop devices ({})", name, control.error().message()));
  for (int i = 0; i < kTries; ++i) {
    const int number = ::ioctl(control->get(), LOOP_CTL_GET_FREE);
    if (number < 0) return Error::from_errno(errno, "find a free loop device");
    LoopDevice out{Fd(), std::format("/dev/loop{}", number)};
    STEPPE_TRY(out.fd, open_host(out.path, O_RDONLY));
    loop_config config = {};
    config.fd = static_cast<uint32_t>(file.get());
    config.info.lo_flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR;
    if (part.cache == LoopPart::Cache::kNo) config.info.lo_flags |= LO_FLAGS_DIRECT_IO;
    config.info.lo_offset = part.offset;
    config.info.lo_sizelimit = part.size;
    std::strncpy(reinterpret_cast<char*>(config.info.lo_file_name), name.c_str(), LO_NAME_SIZE - 1);
    if (::ioctl(out.fd.get(), LOOP_CONFIGURE, &config) == 0) return out;
    if (errno != EBUSY) return Error::from_errno(errno, std::format("put {} on {}", name, out.path));
  }
  return Error(Code::kUnavailable, std::format("{}: other processes took every loop device, {} times", name, kTries));
}

}  // namespace steppe::kernel
