#pragma once

#include <functional>
#include <string>
#include <vector>

#include "init/sys/kernel/fd.h"
#include "init/upgrade/directory.h"

namespace steppe::fat {

// Takes one name out of the directory without giving its clusters back. Linux cannot while the filesystem is mounted, so this
// is for whoever may unmount it; the descriptors of the directory are closed while it runs.
using Forget = std::function<Result<>(const std::string& name)>;

// A directory of a mounted vfat, opened by its path. The filesystem must be mounted with `dirsync`, or rename and remove do not
// keep what upgrade::SlotDirectory promises; open() refuses another. On other filesystems (tests) it is not asked for.
// Links are never followed, and only regular files are touched. Chains are told by FIBMAP, which wants CAP_SYS_RAWIO; without it
// they are 0.
class MountedDirectory final : public upgrade::SlotDirectory {
 public:
  static Result<MountedDirectory> open(const std::string& path, Forget forget);

  Result<std::vector<upgrade::DirectoryEntry>> list() override;
  Result<upgrade::Space> space() override;
  Result<> create(const std::string& name) override;
  Result<> append(const std::string& name, ByteView bytes) override;
  Result<> overwrite(const std::string& name, uint64_t offset, ByteView bytes) override;
  Result<size_t> read(const std::string& name, uint64_t offset, ByteSpan into) override;
  Result<> sync_file(const std::string& name) override;
  Result<> drop_caches(const std::string& name) override;
  Result<> rename(const std::string& from, const std::string& to) override;
  Result<> remove(const std::string& name) override;
  Result<> forget(const std::string& name) override;
  Result<> sync_directory() override;

 private:
  MountedDirectory(std::string path, kernel::Fd directory, Forget forget)
      : path_(std::move(path)), directory_(std::move(directory)), forget_(std::move(forget)) {}
  Result<kernel::Fd> open_file(const std::string& name, int flags) const;

  std::string path_;
  kernel::Fd directory_;
  Forget forget_;
};

}  // namespace steppe::fat
