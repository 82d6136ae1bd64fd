#include "init/sys/kernel/file_access.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <format>
#include <memory>

namespace steppe::kernel {
namespace {

constexpr int kMaxDepth = 256;  // each level holds a descriptor

struct CloseDir {
  void operator()(DIR* dir) const { ::closedir(dir); }
};

bool is_dot(const char* name) { return name[0] == '.' && (name[1] == 0 || (name[1] == '.' && name[2] == 0)); }

Result<> count_below(int directory, dev_t device, uint64_t limit, int depth, TreeUsage& out) {
  if (depth > kMaxDepth) {
    out.complete = false;
    return {};
  }
  int copy = ::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (copy < 0) return Error::from_errno(errno, "open directory");
  std::unique_ptr<DIR, CloseDir> dir(::fdopendir(copy));
  if (!dir) {
    int number = errno;
    ::close(copy);
    return Error::from_errno(number, "read directory");
  }
  while (dirent* entry = ::readdir(dir.get())) {
    if (is_dot(entry->d_name)) continue;
    if (++out.entries > limit) {
      out.complete = false;
      return {};
    }
    struct stat found;
    if (::fstatat(directory, entry->d_name, &found, AT_SYMLINK_NOFOLLOW) != 0) continue;  // gone meanwhile
    if (found.st_dev != device) continue;
    out.bytes.count += static_cast<uint64_t>(found.st_blocks) * 512;
    if (!S_ISDIR(found.st_mode)) continue;
    Fd child(::openat(directory, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!child) continue;
    STEPPE_TRY_VOID(count_below(child.get(), device, limit, depth + 1, out));
    if (!out.complete) return {};
  }
  return {};
}

}  // namespace

Result<size_t> read_at(const Fd& fd, uint64_t offset, ByteSpan into) {
  for (;;) {
    ssize_t n = ::pread(fd.get(), into.data(), into.size(), static_cast<off_t>(offset));
    if (n >= 0) return static_cast<size_t>(n);
    if (errno != EINTR) return Error::from_errno(errno, "read");
  }
}

Result<> change_owner(const Beneath& tree, std::string_view path, uint32_t uid, uint32_t gid) {
  STEPPE_TRY(Fd fd, tree.open(path, O_PATH | O_NOFOLLOW));
  if (::fchownat(fd.get(), "", uid, gid, AT_EMPTY_PATH) != 0) {
    return Error::from_errno(errno, std::format("change the owner of {}", path));
  }
  return {};
}

Result<> change_mode(const Beneath& tree, std::string_view path, uint32_t mode) {
  STEPPE_TRY(Fd fd, tree.open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  if (::fchmod(fd.get(), mode) != 0) return Error::from_errno(errno, std::format("set the mode of {}", path));
  return {};
}

Result<> mount_tmpfs(const Beneath& tree, std::string_view path, Bytes size, uint32_t mode) {
  STEPPE_TRY(Fd target, tree.open_directory(path));
  std::string place = std::format("/proc/self/fd/{}", target.get());
  std::string options = std::format("size={},mode={:o}", size.count, mode);
  if (::mount("tmpfs", place.c_str(), "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, options.c_str()) != 0) {
    return Error::from_errno(errno, std::format("mount a tmpfs at {}", path));
  }
  return {};
}

Result<> unmount(const Beneath& tree, std::string_view path) {
  auto target = tree.open_directory(path);
  if (!target.ok()) {
    if (target.error().code() == Code::kNotFound) return {};
    return std::move(target).error();
  }
  std::string place = std::format("/proc/self/fd/{}", target->get());
  if (::umount2(place.c_str(), MNT_DETACH) != 0 && errno != EINVAL && errno != EPERM) {
    return Error::from_errno(errno, std::format("unmount {}", path));
  }
  return {};
}

Result<Fd> lock_file(const std::string& path) {
  Fd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file) return Error::from_errno(errno, std::format("open {}", path));
  struct flock all = {};
  all.l_type = F_WRLCK;
  all.l_whence = SEEK_SET;
  if (::fcntl(file.get(), F_SETLK, &all) == 0) return file;
  if (errno != EACCES && errno != EAGAIN) return Error::from_errno(errno, std::format("lock {}", path));
  bool known = ::fcntl(file.get(), F_GETLK, &all) == 0 && all.l_type != F_UNLCK && all.l_pid > 0;
  return {Code::kUnavailable, std::format("{} is locked by {}", path, known ? std::format("process {}", all.l_pid) : std::string("another process"))};
}

Result<FileSystemUsage> file_system_usage(const Fd& directory) {
  struct statvfs found;
  if (::fstatvfs(directory.get(), &found) != 0) return Error::from_errno(errno, "statvfs");
  FileSystemUsage out;
  uint64_t block = found.f_frsize;
  out.total = found.f_blocks * block;
  out.available = found.f_bavail * block;
  out.used = (found.f_blocks - found.f_bfree) * block;
  uint64_t usable = out.used + out.available;
  if (usable != 0) out.used_percent = 100.0 * static_cast<double>(out.used) / static_cast<double>(usable);
  uint64_t inodes = found.f_files - found.f_ffree;
  if (found.f_files != 0) out.inodes_used_percent = 100.0 * static_cast<double>(inodes) / static_cast<double>(found.f_files);
  return out;
}

Result<TreeUsage> tree_usage(const Beneath& tree, std::string_view path, uint64_t entry_limit) {
  STEPPE_TRY(Fd fd, tree.open(path, O_RDONLY | O_DIRECTORY));
  struct stat found;
  if (::fstat(fd.get(), &found) != 0) return Error::from_errno(errno, "stat");
  TreeUsage out;
  STEPPE_TRY_VOID(count_below(fd.get(), found.st_dev, entry_limit, 0, out));
  return out;
}

}  // namespace steppe::kernel
