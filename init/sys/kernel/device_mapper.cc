#include "init/sys/kernel/device_mapper.h"

#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <format>

#include "init/sys/kernel/host_file.h"

namespace steppe::kernel {
namespace {

constexpr const char* kControl = "/dev/mapper/control";
constexpr unsigned kMiscMajor = 10, kMapperMinor = 236;  // include/linux/miscdevice.h: MAPPER_CTRL_MINOR

Error refused(int error, const char* what, const std::string& name) {
  if (error == EBUSY && std::string_view(what) == "make") return Error(Code::kExists, std::format("device mapper: there is a device {} already", name));
  if (error == ENXIO) return Error(Code::kNotFound, std::format("device mapper: there is no device {}", name));
  return Error::from_errno(error, std::format("device mapper: {} {}", what, name));
}

}  // namespace

std::vector<std::byte> mapper_message(const std::string& name, const std::string& uuid, uint32_t flags, ByteView data, uint32_t targets) {
  dm_ioctl head = {};
  head.version[0] = 4;  // 4.0 does all of this
  head.data_start = sizeof head;
  head.data_size = static_cast<uint32_t>(sizeof head + data.size());
  head.target_count = targets;
  head.flags = flags;
  std::memcpy(head.name, name.data(), std::min(name.size(), sizeof head.name - 1));
  std::memcpy(head.uuid, uuid.data(), std::min(uuid.size(), sizeof head.uuid - 1));
  std::vector<std::byte> out(head.data_size);
  std::memcpy(out.data(), &head, sizeof head);
  if (!data.empty()) std::memcpy(out.data() + sizeof head, data.data(), data.size());
  return out;
}

std::vector<std::byte> mapper_table(const DeviceMapper::Target& target) {
  dm_target_spec spec = {};
  spec.length = target.sectors;
  std::memcpy(spec.target_type, target.type.data(), std::min(target.type.size(), sizeof spec.target_type - 1));
  const size_t size = (sizeof spec + target.parameters.size() + 1 + 7) / 8 * 8;
  spec.next = static_cast<uint32_t>(size);
  std::vector<std::byte> out(size);
  std::memcpy(out.data(), &spec, sizeof spec);
  std::memcpy(out.data() + sizeof spec, target.parameters.data(), target.parameters.size());
  return out;
}

Result<DeviceMapper> DeviceMapper::open() {
  if (::mkdir("/dev/mapper", 0755) != 0 && errno != EEXIST) return Error::from_errno(errno, "make /dev/mapper");
  if (::mknod(kControl, S_IFCHR | 0600, makedev(kMiscMajor, kMapperMinor)) != 0 && errno != EEXIST) return Error::from_errno(errno, std::format("make {}", kControl));
  auto control = open_host(kControl, O_RDWR);
  if (!control.ok()) return Error(Code::kUnsupported, std::format("this kernel has no device mapper ({})", control.error().message()));
  return DeviceMapper(*std::move(control));
}

// Returns the device's number.
Result<uint64_t> DeviceMapper::call(unsigned long request, const char* what, const std::string& name, const std::string& uuid, uint32_t flags, ByteView data,
                                    uint32_t targets) const {
  if (name.empty() || name.size() >= DM_NAME_LEN || uuid.size() >= DM_UUID_LEN - 1) return Error(Code::kInvalid, "device mapper: a name has 127 bytes at most");
  std::vector<std::byte> message = mapper_message(name, uuid, flags, data, targets);
  if (::ioctl(control_.get(), request, message.data()) != 0) return refused(errno, what, name);
  dm_ioctl answer;
  std::memcpy(&answer, message.data(), sizeof answer);
  return answer.dev;
}

Result<std::string> DeviceMapper::create(const std::string& name, const std::string& uuid, const Target& target) const {
  STEPPE_TRY_VOID(call(DM_DEV_CREATE, "make", name, uuid, DM_READONLY_FLAG, {}, 0));
  Result<uint64_t> started = call(DM_TABLE_LOAD, "load the table of", name, "", DM_READONLY_FLAG, mapper_table(target), 1);
  if (started.ok()) started = call(DM_DEV_SUSPEND, "start", name, "", DM_READONLY_FLAG, {}, 0);
  if (!started.ok()) {
    (void)remove(name, When::kNow);
    return std::move(started).error();
  }
  return std::format("/dev/dm-{}", minor(*started));
}

Result<> DeviceMapper::remove(const std::string& name, When when) const {
  STEPPE_TRY_VOID(call(DM_DEV_REMOVE, "remove", name, "", when == When::kWhenUnused ? DM_DEFERRED_REMOVE : 0, {}, 0));
  return {};
}

}  // namespace steppe::kernel
