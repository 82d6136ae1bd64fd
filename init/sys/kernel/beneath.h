#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "init/base/bytes.h"
#include "init/base/result.h"
#include "init/sys/kernel/fd.h"

struct stat;

namespace steppe::kernel {

enum class FileType : uint8_t { kFile, kDirectory, kSymlink, kFifo, kSocket, kCharDevice, kBlockDevice, kUnknown };

struct FileInfo {
  FileType type = FileType::kUnknown;
  uint32_t mode = 0;  // permission bits with set-id and sticky
  uint32_t uid = 0, gid = 0, links = 0;
  Bytes size;
  Bytes disk;               // blocks in use
  int64_t modified_ns = 0;  // unix time
  uint64_t device = 0, inode = 0;
};

struct DirectoryEntry {
  std::string name;
  FileType type = FileType::kUnknown;
};

// Every path under an alloc, task, volume, archive or template goes through here. A relative path is resolved by the
// kernel in one step under a directory descriptor (openat2 with RESOLVE_BENEATH and RESOLVE_NO_MAGICLINKS): "..",
// absolute symlinks and symlinks that lead out are errors (kDenied), and no rename or symlink swapped in meanwhile
// can change that. Whoever holds a Beneath cannot reach anything else. Leading slashes are refused like every absolute
// path; "" is the directory itself. All calls block. Thread-safe.
class Beneath {
 public:
  // Whether symlinks inside the tree are followed (never out of it).
  enum class Links : uint8_t { kFollow, kRefuse };

  // `name` stands for the directory in errors.
  Beneath(Fd directory, std::string name, Links links = Links::kRefuse);
  // Opens a directory by a path of the host that only the administrator controls.
  static Result<Beneath> at(const std::string& host_path, Links links = Links::kRefuse);

  int fd() const { return directory_.get(); }
  const std::string& name() const { return name_; }

  // flags as open(2); O_CLOEXEC and O_NOCTTY are added.
  Result<Fd> open(std::string_view path, int flags, mode_t mode = 0) const;
  // Only a regular file: a FIFO, device or socket is kDenied and was never waited on.
  Result<Fd> open_file(std::string_view path) const;
  Result<Fd> open_directory(std::string_view path) const;  // O_PATH
  Result<Beneath> sub(std::string_view path) const;

  Result<FileInfo> stat(std::string_view path) const;  // of the link itself when the last part is one
  Result<std::vector<DirectoryEntry>> list(std::string_view path, size_t limit = 100'000) const;  // sorted by name
  Result<std::string> read(std::string_view path, Bytes limit) const;  // kExhausted past `limit`

  // Makes the directory and its missing parents with exactly `mode`; an existing directory is fine (its mode stays).
  Result<> make_directories(std::string_view path, mode_t mode) const;
  // Creates or replaces by rename, so that a reader sees the old or the new file. Not synced unless asked.
  enum class Sync : uint8_t { kNo, kYes };
  Result<> write(std::string_view path, ByteView data, mode_t mode, Sync sync = Sync::kNo) const;
  Result<> symlink(std::string_view target, std::string_view path) const;
  Result<> change_owner(std::string_view path, uint32_t uid, uint32_t gid) const;
  // Gives a file or tree a name beneath another directory of the same file system. An empty directory there is replaced,
  // for a directory; anything else in the way is an error.
  Result<> move(std::string_view path, const Beneath& to, std::string_view target) const;
  // Removes a file, link or whole tree without following links or crossing mounts. Absent is fine.
  Result<> remove_tree(std::string_view path) const;

  // Disk space of all below. Stops at `entry_limit` entries, then `complete` is false. Mounts below are left out.
  struct Usage {
    Bytes disk;
    uint64_t entries = 0;
    bool complete = true;
  };
  Result<Usage> usage(std::string_view path, uint64_t entry_limit) const;

 private:
  struct Parent {
    Fd opened;  // invalid when the file lies right in the directory
    int directory;
    std::string leaf;
  };
  Result<Parent> parent_of(std::string_view path) const;
  std::string describe(std::string_view path) const;

  Fd directory_;
  std::string name_;
  Links links_;
};

FileInfo file_info(const struct ::stat& st);
Result<FileInfo> stat_fd(const Fd& fd, std::string_view name);
// The whole file from its start. kExhausted past `limit`.
Result<std::string> read_all(const Fd& fd, std::string_view name, Bytes limit);
Result<> write_all(const Fd& fd, std::string_view name, ByteView data);

}  // namespace steppe::kernel
