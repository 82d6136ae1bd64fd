#include "init/sys/fat/mounted_directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <memory>

#include "init/base/text.h"
#include "init/upgrade/slots.h"

namespace steppe::fat {

namespace {

constexpr int kFlags = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;

Result<> check_name(const std::string& name) {
  if (name.empty() || name.size() > 255 || name.find('/') != name.npos || name.find('\0') != name.npos || name == "." || name == "..")
    return {Code::kInvalid, "\"" + name.substr(0, 80) + "\" is no file name"};
  return {};
}

// Whether the mount that holds the descriptor has the option, by /proc/self/mountinfo (fields 3 and the last).
Result<bool> mounted_dirsync(int fd) {
  struct stat status;
  if (fstat(fd, &status) < 0) return Error::from_errno(errno, "stat the directory");
  std::string device = std::to_string(major(status.st_dev)) + ":" + std::to_string(minor(status.st_dev));
  std::ifstream mounts("/proc/self/mountinfo");
  for (std::string line; std::getline(mounts, line);) {
    std::vector<std::string_view> fields = split(line, ' ');
    if (fields.size() < 10 || fields[2] != device) continue;
    for (size_t i : {size_t{5}, fields.size() - 1})
      for (std::string_view option : split(fields[i], ','))
        if (option == "dirsync" || option == "sync") return true;
  }
  return false;
}

uint64_t first_block(int fd) {
  int block = 0;
  return ioctl(fd, FIBMAP, &block) == 0 && block > 0 ? static_cast<uint64_t>(block) : 0;
}

Result<> write_all(int fd, ByteView bytes, off_t at) {
  while (!bytes.empty()) {
    ssize_t done = at < 0 ? ::write(fd, bytes.data(), bytes.size()) : ::pwrite(fd, bytes.data(), bytes.size(), at);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return Error::from_errno(errno, "write");
    bytes = bytes.subspan(static_cast<size_t>(done));
    if (at >= 0) at += done;
  }
  return {};
}

}  // namespace

Result<MountedDirectory> MountedDirectory::open(const std::string& path, Forget forget) {
  kernel::Fd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) return Error::from_errno(errno, "open " + path);
  struct statfs filesystem;
  if (fstatfs(fd.get(), &filesystem) < 0) return Error::from_errno(errno, "statfs " + path);
  if (filesystem.f_type == MSDOS_SUPER_MAGIC) {
    STEPPE_TRY(bool ordered, mounted_dirsync(fd.get()));
    if (!ordered) return {Code::kInvalid, path + ": mounted without dirsync, so that a power cut could lose an image's name: mount it with -o dirsync"};
  }
  return MountedDirectory(path, std::move(fd), std::move(forget));
}

Result<kernel::Fd> MountedDirectory::open_file(const std::string& name, int flags) const {
  STEPPE_TRY_VOID(check_name(name));
  kernel::Fd fd(openat(directory_.get(), name.c_str(), flags | kFlags, 0600));
  if (!fd) return Error::from_errno(errno, "open " + path_ + "/" + name);
  struct stat status;
  if (fstat(fd.get(), &status) < 0 || !S_ISREG(status.st_mode)) return {Code::kInvalid, path_ + "/" + name + " is no regular file"};
  return fd;
}

Result<std::vector<upgrade::DirectoryEntry>> MountedDirectory::list() {
  int again = openat(directory_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (again < 0) return Error::from_errno(errno, "open " + path_);
  std::unique_ptr<DIR, int (*)(DIR*)> stream(fdopendir(again), closedir);
  if (!stream) return Error::from_errno(errno, "list " + path_);
  std::vector<upgrade::DirectoryEntry> entries;
  errno = 0;
  while (dirent* item = readdir(stream.get())) {
    struct stat status;
    if (fstatat(directory_.get(), item->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(status.st_mode)) continue;
    if (entries.size() == upgrade::kMaxNames)
      return {Code::kExhausted, path_ + ": more than " + std::to_string(upgrade::kMaxNames) + " files: remove what is not ours"};
    upgrade::DirectoryEntry entry{.name = item->d_name, .size = static_cast<uint64_t>(status.st_size)};
    if (Result<kernel::Fd> fd = open_file(entry.name, O_RDONLY); fd.ok() && entry.size > 0) entry.chain = first_block(fd->get());
    entries.push_back(std::move(entry));
    errno = 0;
  }
  if (errno != 0) return Error::from_errno(errno, "list " + path_);
  std::ranges::sort(entries, {}, &upgrade::DirectoryEntry::name);
  return entries;
}

Result<upgrade::Space> MountedDirectory::space() {
  struct statvfs status;
  if (fstatvfs(directory_.get(), &status) < 0) return Error::from_errno(errno, "statvfs " + path_);
  return upgrade::Space{status.f_blocks * status.f_frsize, status.f_bavail * status.f_frsize, status.f_frsize};
}

Result<> MountedDirectory::create(const std::string& name) {
  STEPPE_TRY([[maybe_unused]] kernel::Fd fd, open_file(name, O_WRONLY | O_CREAT | O_EXCL));
  return {};
}

Result<> MountedDirectory::append(const std::string& name, ByteView bytes) {
  STEPPE_TRY(kernel::Fd fd, open_file(name, O_WRONLY | O_APPEND));
  return write_all(fd.get(), bytes, -1).wrap(path_ + "/" + name);
}

Result<> MountedDirectory::overwrite(const std::string& name, uint64_t offset, ByteView bytes) {
  STEPPE_TRY(kernel::Fd fd, open_file(name, O_WRONLY));
  struct stat status;
  if (fstat(fd.get(), &status) < 0) return Error::from_errno(errno, "stat " + name);
  uint64_t size = static_cast<uint64_t>(status.st_size);
  if (offset > size || size - offset < bytes.size()) return {Code::kInvalid, path_ + "/" + name + ": past its end"};
  return write_all(fd.get(), bytes, static_cast<off_t>(offset)).wrap(path_ + "/" + name);
}

Result<size_t> MountedDirectory::read(const std::string& name, uint64_t offset, ByteSpan into) {
  STEPPE_TRY(kernel::Fd fd, open_file(name, O_RDONLY));
  size_t got = 0;
  while (got < into.size()) {
    ssize_t more = pread(fd.get(), into.data() + got, into.size() - got, static_cast<off_t>(offset + got));
    if (more < 0 && errno == EINTR) continue;
    if (more < 0) return Error::from_errno(errno, "read " + path_ + "/" + name);
    if (more == 0) break;
    got += static_cast<size_t>(more);
  }
  return got;
}

Result<> MountedDirectory::sync_file(const std::string& name) {
  STEPPE_TRY(kernel::Fd fd, open_file(name, O_RDONLY));
  if (fsync(fd.get()) < 0) return Error::from_errno(errno, "fsync " + path_ + "/" + name);
  return {};
}

Result<> MountedDirectory::drop_caches(const std::string& name) {
  STEPPE_TRY(kernel::Fd fd, open_file(name, O_RDONLY));
  // Takes clean pages only: sync_file() came first.
  if (int failed = posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED)) return Error::from_errno(failed, "drop the pages of " + path_ + "/" + name);
  return {};
}

Result<> MountedDirectory::rename(const std::string& from, const std::string& to) {
  STEPPE_TRY_VOID(check_name(from));
  STEPPE_TRY_VOID(check_name(to));
  if (renameat2(directory_.get(), from.c_str(), directory_.get(), to.c_str(), RENAME_NOREPLACE) < 0)
    return Error::from_errno(errno, "rename " + path_ + "/" + from + " to " + to);
  return {};
}

Result<> MountedDirectory::remove(const std::string& name) {
  // Held open, the file keeps its clusters until its name is off the disk.
  STEPPE_TRY([[maybe_unused]] kernel::Fd fd, open_file(name, O_RDONLY));
  if (unlinkat(directory_.get(), name.c_str(), 0) < 0) return Error::from_errno(errno, "remove " + path_ + "/" + name);
  return sync_directory();
}

Result<> MountedDirectory::forget(const std::string& name) {
  STEPPE_TRY_VOID(check_name(name));
  if (!forget_) return {Code::kUnsupported, path_ + "/" + name + ": a second name for one image can be taken away only with the filesystem unmounted"};
  directory_ = kernel::Fd();
  Result<> done = forget_(name);
  kernel::Fd fd(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) return Error::from_errno(errno, "open " + path_ + " again");
  directory_ = std::move(fd);
  return done;
}

Result<> MountedDirectory::sync_directory() {
  if (fsync(directory_.get()) < 0) return Error::from_errno(errno, "fsync " + path_);
  return {};
}

}  // namespace steppe::fat
