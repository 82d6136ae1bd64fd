#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "init/base/bytes.h"
#include "init/base/result.h"
#include "init/sys/kernel/beneath.h"
#include "init/sys/kernel/fd.h"

// What the client does with open files and with file systems beside resolving names (beneath.h). All calls block.
namespace steppe::kernel {

// One pread: fewer bytes than asked at the end of the file.
Result<size_t> read_at(const Fd& fd, uint64_t offset, ByteSpan into);
// fchownat of what the path names, a link itself when it is one.
Result<> change_owner(const Beneath& tree, std::string_view path, uint32_t uid, uint32_t gid);
// fchmod of the directory or regular file that the path names.
Result<> change_mode(const Beneath& tree, std::string_view path, uint32_t mode);

// Mounts a new tmpfs of at most `size` on the directory (nosuid, nodev, noexec). kDenied without CAP_SYS_ADMIN.
Result<> mount_tmpfs(const Beneath& tree, std::string_view path, Bytes size, uint32_t mode);
// Detaches what is mounted there; it vanishes with the last open file. Fine when nothing is.
Result<> unmount(const Beneath& tree, std::string_view path);

struct FileSystemUsage {
  uint64_t total = 0, available = 0, used = 0;
  double used_percent = 0, inodes_used_percent = 0;
};
// Of the file system that holds the directory.
Result<FileSystemUsage> file_system_usage(const Fd& directory);

// Locks the file `path`, which is made when absent (mode 0600), for this process until the descriptor is closed or the
// process ends, whatever children it has. It must not be opened elsewhere in the process, as closing that would give the
// lock away (fcntl(2), F_SETLK). kUnavailable: another process holds it, whose number the error names.
Result<Fd> lock_file(const std::string& path);

// Bytes on disk below `path`, not following links nor entering other mounts, stopping after `entry_limit` entries.
struct TreeUsage {
  Bytes bytes;
  uint64_t entries = 0;
  bool complete = true;
};
Result<TreeUsage> tree_usage(const Beneath& tree, std::string_view path, uint64_t entry_limit);

}  // namespace steppe::kernel
