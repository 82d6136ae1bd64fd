#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "init/base/bytes.h"
#include "init/base/result.h"
#include "init/sys/kernel/fd.h"

namespace steppe::kernel {

// The kernel's device mapper (linux/dm-ioctl.h, interface 4). Needs CAP_SYS_ADMIN; every call blocks until the kernel has done it.
class DeviceMapper {
 public:
  // Opens /dev/mapper/control, and makes the node where there is none yet: opening it has the kernel ask for its module.
  // kUnsupported: this kernel has no device mapper.
  static Result<DeviceMapper> open();

  // A read-only device of one target, over all of it.
  struct Target {
    std::string type;        // "verity"; the kernel asks for the module "dm-TYPE"
    std::string parameters;  // as the target takes them
    uint64_t sectors = 0;    // of 512 bytes
  };
  // Makes it and sets it going; its node, "/dev/dm-3". `name` and `uuid` are at most 127 bytes. kExists: there is one of that name or
  // uuid. On an error nothing is left.
  Result<std::string> create(const std::string& name, const std::string& uuid, const Target& target) const;

  // kWhenUnused: it goes with its last user, now or later. kNotFound: there is none.
  enum class When : uint8_t { kNow, kWhenUnused };
  Result<> remove(const std::string& name, When when) const;

 private:
  explicit DeviceMapper(Fd control) : control_(std::move(control)) {}
  Result<uint64_t> call(unsigned long request, const char* what, const std::string& name, const std::string& uuid, uint32_t flags, ByteView data,
                        uint32_t targets) const;
  Fd control_;
};

// The message of one call: struct dm_ioctl with `data` behind it. For tests.
std::vector<std::byte> mapper_message(const std::string& name, const std::string& uuid, uint32_t flags, ByteView data, uint32_t targets);
// What DM_TABLE_LOAD has behind it: one struct dm_target_spec and its parameters. For tests.
std::vector<std::byte> mapper_table(const DeviceMapper::Target& target);

}  // namespace steppe::kernel
