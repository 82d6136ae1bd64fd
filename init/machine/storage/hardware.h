#pragma once

#include <memory>
#include <string>
#include <vector>

#include "init/base/clock.h"
#include "init/base/rng.h"
#include "init/machine/gpt_write.h"
#include "init/sys/device/disks.h"
#include "init/sys/kernel/file_system.h"

namespace steppe::storage {

struct ProgramEnd {
  int code = 0, signal = 0;
  std::string text;  // what it wrote
};

// What the storage step needs of the machine, so that its tests are not one. Blocking.
class Hardware {
 public:
  virtual ~Hardware() = default;

  virtual Result<std::vector<device::Disk>> disks() = 0;
  // The GUID of the partition that the running image was loaded from, as the boot loader says; "" when nothing does.
  virtual std::string booted_partition() = 0;
  // Disks that are not there yet may still come.
  virtual bool disks_may_come() = 0;

  enum class Access : uint8_t { kRead, kWrite };
  virtual Result<std::unique_ptr<machine::BlockWriter>> open(const std::string& path, Access access) = 0;
  // The kernel's own list of a disk's partitions, as its table has it now. Bytes.
  virtual Result<> add_partition(const std::string& disk, uint32_t number, Bytes offset, Bytes length) = 0;
  virtual Result<> grow_partition(const std::string& disk, uint32_t number, Bytes offset, Bytes length) = 0;
  virtual Result<> forget_partition(const std::string& disk, uint32_t number) = 0;

  // Runs a program to its end; killed at `limit` (kTimeout). kNotFound: there is no such program.
  virtual Result<ProgramEnd> run(const std::string& program, const std::vector<std::string>& arguments, Duration limit) = 0;
  virtual Result<> mount(const kernel::MountRequest& request) = 0;
  virtual Result<> grow(const std::string& target, Bytes size) = 0;

  virtual MonoTime now() = 0;
  virtual void rest(Duration time) = 0;
  virtual Rng& rng() = 0;
};

}  // namespace steppe::storage
