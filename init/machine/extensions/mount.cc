#include "init/machine/extensions/mount.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <format>

#include "init/base/text.h"
#include "init/sys/kernel/device_mapper.h"
#include "init/sys/kernel/host_file.h"
#include "init/sys/kernel/loop_device.h"
#include "init/sys/kernel/mounts.h"

namespace steppe::extensions {
namespace {

constexpr uint64_t kSector = 512;
constexpr const char* kFirmwareParameter = "/sys/module/firmware_class/parameters/path";

}  // namespace

Result<> KernelMounts::mount(const kernel::Fd& file, const extension::Record& record, const std::string& target) {
  // The page cache holds what the file system reads; the blocks below it need not be there as well.
  const kernel::LoopPart part{extension::kHeaderSize, record.data_size + extension::tree_size(record), kernel::LoopPart::Cache::kNo};
  STEPPE_TRY(const kernel::LoopDevice loop, kernel::attach_loop(file, record.name + ".ext", part));
  STEPPE_TRY(const kernel::DeviceMapper mapper, kernel::DeviceMapper::open());
  const std::string device_name = "steppe-" + record.name;
  (void)mapper.remove(device_name, kernel::DeviceMapper::When::kNow);  // what a start that did not end left behind
  const kernel::DeviceMapper::Target verity{"verity", extension::verity_parameters(record, loop.path), record.data_size / kSector};
  STEPPE_TRY(const std::string device, mapper.create(device_name, "STEPPE-" + hex(record.root), verity));
  const auto attach = [&]() -> Result<> {
    STEPPE_TRY(const kernel::DetachedMount mount, kernel::DetachedMount::make("squashfs", {{"source", device}, {"ro", ""}},
                                                                               MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV));
    STEPPE_TRY(const kernel::Fd directory, kernel::open_host(target, O_PATH | O_DIRECTORY));
    return mount.attach(directory.get(), "");
  };
  const Result<> attached = attach();
  // Mounted, the device goes with the mount; else at once.
  const Result<> later = mapper.remove(device_name, kernel::DeviceMapper::When::kWhenUnused);
  if (!attached.ok()) return attached.error();
  return later;
}

bool KernelMounts::mounted(const std::string& target) {
  const auto mounts = kernel::read_mountinfo();
  return mounts.ok() && std::ranges::contains(*mounts, target, &kernel::MountEntry::target);
}

Result<> KernelMounts::unite(const std::vector<std::string>& directories, const std::string& target) {
  const std::string options = "lowerdir=" + join(directories, ":");
  if (::mount("steppe-firmware", target.c_str(), "overlay", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, options.c_str()) != 0)
    return Error::from_errno(errno, std::format("mount {} over {}", target, join(directories, ", ")));
  return {};
}

Result<> KernelMounts::set_firmware(const std::string& directory) {
  STEPPE_TRY(const kernel::Fd parameter, kernel::open_host(kFirmwareParameter, O_WRONLY));
  if (::write(parameter.get(), directory.data(), directory.size()) != static_cast<ssize_t>(directory.size()))
    return Error::from_errno(errno, std::format("write {}", kFirmwareParameter));
  return {};
}

}  // namespace steppe::extensions
