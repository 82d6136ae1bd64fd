#pragma once

#include <string>
#include <vector>

#include "init/base/result.h"
#include "init/sys/kernel/fd.h"
#include "init/upgrade/extension/record.h"

namespace steppe::extensions {

// What bringing extensions up does to a machine, so that its tests are none.
class Mounts {
 public:
  virtual ~Mounts() = default;
  // The file's file system at `target`, a directory that is there: read-only, nosuid, nodev, each block checked against the record's
  // root when it is read (EIO for one that is not what it was). The file may be closed afterwards.
  virtual Result<> mount(const kernel::Fd& file, const extension::Record& record, const std::string& target) = 0;
  virtual bool mounted(const std::string& target) = 0;
  // One view of several directories, of which the first has a name, at `target`, read-only.
  virtual Result<> unite(const std::vector<std::string>& directories, const std::string& target) = 0;
  // Where the kernel looks for firmware before it looks in /lib/firmware.
  virtual Result<> set_firmware(const std::string& directory) = 0;
};

// By loop devices, dm-verity, squashfs and overlayfs. Needs CAP_SYS_ADMIN; devices vanish with the last user of a mount.
class KernelMounts final : public Mounts {
 public:
  Result<> mount(const kernel::Fd& file, const extension::Record& record, const std::string& target) override;
  bool mounted(const std::string& target) override;
  Result<> unite(const std::vector<std::string>& directories, const std::string& target) override;
  Result<> set_firmware(const std::string& directory) override;
};

}  // namespace steppe::extensions
