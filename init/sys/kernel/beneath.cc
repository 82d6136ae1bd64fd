#include "init/sys/kernel/beneath.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <format>
#include <memory>

#include "init/base/text.h"
#include "init/sys/kernel/host_file.h"

namespace steppe::kernel {
namespace {

// Each level of a tree walk holds one descriptor.
constexpr int kMaxDepth = 200;

Error failed(std::string_view call, std::string_view what) { return Error::from_errno(errno, std::format("{} {}", call, what)); }

// Read, as umask(2) can only be asked by changing it for every thread. All bits when it cannot be read.
mode_t umask_at_start() {
  static const mode_t mask = [] {
    auto status = read_host_file("/proc/self/status");
    size_t at = status.ok() ? status->find("\nUmask:\t") : std::string::npos;
    return at == std::string::npos ? mode_t{0777} : static_cast<mode_t>(std::strtoul(status->c_str() + at + 8, nullptr, 8));
  }();
  return mask;
}

FileType type_of(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFREG: return FileType::kFile;
    case S_IFDIR: return FileType::kDirectory;
    case S_IFLNK: return FileType::kSymlink;
    case S_IFIFO: return FileType::kFifo;
    case S_IFSOCK: return FileType::kSocket;
    case S_IFCHR: return FileType::kCharDevice;
    case S_IFBLK: return FileType::kBlockDevice;
    default: return FileType::kUnknown;
  }
}

int openat2_call(int directory, const char* path, int flags, mode_t mode, uint64_t resolve) {
  open_how how = {};
  how.flags = static_cast<uint64_t>(flags);
  how.mode = mode;
  how.resolve = resolve;
  // EAGAIN: a rename raced with the walk and the kernel could not prove containment (openat2(2)); it may be repeated.
  for (int tries = 0;; ++tries) {
    long fd = ::syscall(SYS_openat2, directory, path, &how, sizeof how);
    if (fd >= 0 || (errno != EAGAIN && errno != EINTR) || tries == 64) return static_cast<int>(fd);
  }
}

struct CloseDir {
  void operator()(DIR* dir) const { ::closedir(dir); }
};
using Dir = std::unique_ptr<DIR, CloseDir>;

Result<Dir> read_directory(Fd fd, const std::string& what) {
  DIR* dir = ::fdopendir(fd.get());
  if (dir == nullptr) return failed("read directory", what);
  (void)fd.release();
  return Dir(dir);
}

bool is_dots(std::string_view name) { return name == "." || name == ".."; }

// Depth-first with descriptors only. `device` stops at mounts.
Result<> remove_beneath(int parent, const char* name, const std::string& what, dev_t device, int depth) {
  if (::unlinkat(parent, name, 0) == 0 || errno == ENOENT) return {};
  if (errno != EISDIR && errno != EPERM) return failed("remove", what);
  if (depth > kMaxDepth) return {Code::kExhausted, std::format("remove {}: nested deeper than {} directories", what, kMaxDepth)};
  Fd fd(::openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return failed("remove", what);
  struct stat st;
  if (::fstat(fd.get(), &st) != 0) return failed("stat", what);
  if (st.st_dev != device) return {Code::kDenied, std::format("remove {}: something is mounted there", what)};
  int number = fd.get();
  STEPPE_TRY(Dir dir, read_directory(std::move(fd), what));
  while (const dirent* entry = ::readdir(dir.get())) {
    if (is_dots(entry->d_name)) continue;
    STEPPE_TRY_VOID(remove_beneath(number, entry->d_name, std::format("{}/{}", what, entry->d_name), device, depth + 1));
  }
  if (::unlinkat(parent, name, AT_REMOVEDIR) != 0 && errno != ENOENT) return failed("remove", what);
  return {};
}

Result<> count_beneath(Fd fd, const std::string& what, dev_t device, uint64_t limit, int depth, Beneath::Usage& out) {
  int number = fd.get();
  STEPPE_TRY(Dir dir, read_directory(std::move(fd), what));
  while (const dirent* entry = ::readdir(dir.get())) {
    if (is_dots(entry->d_name)) continue;
    if (++out.entries > limit || depth > kMaxDepth) {
      out.complete = false;
      return {};
    }
    struct stat st;
    if (::fstatat(number, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) continue;  // gone meanwhile
    if (st.st_dev != device) continue;
    out.disk.count += static_cast<uint64_t>(st.st_blocks) * 512;
    if (!S_ISDIR(st.st_mode)) continue;
    Fd child(::openat(number, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!child) continue;
    STEPPE_TRY_VOID(count_beneath(std::move(child), what, device, limit, depth + 1, out));
    if (!out.complete) return {};
  }
  return {};
}

}  // namespace

FileInfo file_info(const struct ::stat& st) {
  return {type_of(st.st_mode), st.st_mode & 07777, st.st_uid, st.st_gid, static_cast<uint32_t>(st.st_nlink),
          {static_cast<uint64_t>(st.st_size)}, {static_cast<uint64_t>(st.st_blocks) * 512},
          st.st_mtim.tv_sec * 1'000'000'000 + st.st_mtim.tv_nsec, st.st_dev, st.st_ino};
}

Beneath::Beneath(Fd directory, std::string name, Links links)
    : directory_(std::move(directory)), name_(std::move(name)), links_(links) {}

Result<Beneath> Beneath::at(const std::string& host_path, Links links) {
  STEPPE_TRY(Fd fd, open_host(host_path, O_PATH | O_DIRECTORY));
  return Beneath(std::move(fd), host_path, links);
}

std::string Beneath::describe(std::string_view path) const { return std::format("{}/{}", name_, path); }

Result<Fd> Beneath::open(std::string_view path, int flags, mode_t mode) const {
  if (path.find('\0') != std::string_view::npos) return {Code::kInvalid, std::format("path beneath {} holds a NUL byte", name_)};
  std::string copy(path.empty() ? "." : path);
  uint64_t resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  if (links_ == Links::kRefuse) resolve |= RESOLVE_NO_SYMLINKS;
  int extra = (flags & O_PATH) != 0 ? O_CLOEXEC : O_CLOEXEC | O_NOCTTY;
  int fd = openat2_call(directory_.get(), copy.c_str(), flags | extra, mode, resolve);
  if (fd >= 0) return Fd(fd);
  if (errno == EXDEV) return {Code::kDenied, std::format("open {}: leads out of {}", describe(path), name_)};
  if (errno == ELOOP) return {Code::kDenied, std::format("open {}: a symlink is in the way", describe(path))};
  return failed("open", describe(path));
}

Result<Fd> Beneath::open_file(std::string_view path) const {
  // O_NONBLOCK: opening a FIFO would wait for its other end.
  auto opened = open(path, O_RDONLY | O_NONBLOCK);
  if (!opened.ok()) {
    if (opened.error().sys_errno() == ENXIO) return {Code::kDenied, std::format("open {}: not a regular file", describe(path))};
    return opened;
  }
  struct stat st;
  if (::fstat(opened->get(), &st) != 0) return failed("stat", describe(path));
  if (!S_ISREG(st.st_mode)) return {Code::kDenied, std::format("open {}: not a regular file", describe(path))};
  return opened;
}

Result<Fd> Beneath::open_directory(std::string_view path) const { return open(path, O_PATH | O_DIRECTORY); }

Result<Beneath> Beneath::sub(std::string_view path) const {
  STEPPE_TRY(Fd fd, open_directory(path));
  return Beneath(std::move(fd), describe(path), links_);
}

Result<Beneath::Parent> Beneath::parent_of(std::string_view path) const {
  while (path.ends_with('/')) path.remove_suffix(1);
  size_t slash = path.rfind('/');
  std::string leaf(slash == std::string_view::npos ? path : path.substr(slash + 1));
  if (leaf.empty() || is_dots(leaf)) return {Code::kInvalid, std::format("{}: names no file", describe(path))};
  if (slash == 0) return {Code::kDenied, std::format("{}: absolute paths lead out of {}", describe(path), name_)};
  if (slash == std::string_view::npos) return Parent{Fd(), directory_.get(), std::move(leaf)};
  STEPPE_TRY(Fd opened, open_directory(path.substr(0, slash)));
  int directory = opened.get();
  return Parent{std::move(opened), directory, std::move(leaf)};
}

Result<FileInfo> Beneath::stat(std::string_view path) const {
  auto fd = open(path, O_PATH | O_NOFOLLOW);
  if (fd.ok()) return stat_fd(*fd, describe(path));
  // RESOLVE_NO_SYMLINKS refuses a final link even with O_NOFOLLOW; look at it through its parent.
  if (fd.error().code() != Code::kDenied) return std::move(fd).error();
  STEPPE_TRY(Parent parent, parent_of(path));
  struct stat st;
  if (::fstatat(parent.directory, parent.leaf.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) return failed("stat", describe(path));
  return file_info(st);
}

Result<FileInfo> stat_fd(const Fd& fd, std::string_view name) {
  struct stat st;
  if (::fstat(fd.get(), &st) != 0) return failed("stat", name);
  return file_info(st);
}

Result<std::vector<DirectoryEntry>> Beneath::list(std::string_view path, size_t limit) const {
  STEPPE_TRY(Fd fd, open(path, O_RDONLY | O_DIRECTORY));
  STEPPE_TRY(Dir dir, read_directory(std::move(fd), describe(path)));
  std::vector<DirectoryEntry> out;
  errno = 0;
  while (const dirent* entry = ::readdir(dir.get())) {
    if (is_dots(entry->d_name)) continue;
    if (out.size() == limit) return {Code::kExhausted, std::format("list {}: more than {} entries", describe(path), limit)};
    out.push_back({entry->d_name, entry->d_type == DT_UNKNOWN ? FileType::kUnknown : type_of(DTTOIF(entry->d_type))});
    errno = 0;
  }
  if (errno != 0) return failed("list", describe(path));
  std::ranges::sort(out, {}, &DirectoryEntry::name);
  return out;
}

Result<std::string> Beneath::read(std::string_view path, Bytes limit) const {
  STEPPE_TRY(Fd fd, open_file(path));
  return read_all(fd, describe(path), limit);
}

Result<> Beneath::make_directories(std::string_view path, mode_t mode) const {
  if (path.starts_with('/')) return {Code::kDenied, std::format("make {}: absolute paths lead out of {}", describe(path), name_)};
  std::string done;
  for (std::string_view part : split(path, '/')) {
    if (part.empty() || part == ".") continue;
    if (part == "..") return {Code::kDenied, std::format("make {}: \"..\" in the path", describe(path))};
    // One name below the directory itself needs no walk, and is most often there already.
    Fd opened;
    if (!done.empty()) {
      STEPPE_TRY(opened, open_directory(done));
    }
    int parent = opened.valid() ? opened.get() : directory_.get();
    std::string leaf(part);
    done += done.empty() ? "" : "/";
    done += part;
    struct stat st;
    if (::fstatat(parent, leaf.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode)) continue;
    if (::mkdirat(parent, leaf.c_str(), mode) != 0) {
      if (errno != EEXIST) return failed("make directory", describe(done));
      STEPPE_TRY_VOID(open_directory(done));
      continue;
    }
    // mkdir's mode passes through the umask, which belongs to whoever started us. (A default ACL can only narrow it more.)
    if ((mode & (umask_at_start() | 07000u)) == 0) continue;
    STEPPE_TRY(Fd made, open(done, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    if (::fchmod(made.get(), mode) != 0) return failed("set the mode of", describe(done));
  }
  return {};
}

Result<> Beneath::write(std::string_view path, ByteView data, mode_t mode, Sync sync) const {
  static std::atomic<uint32_t> next{0};
  STEPPE_TRY(Parent parent, parent_of(path));
  std::string temporary = std::format(".{}.{}.{}", parent.leaf.substr(0, 200), ::getpid(), next.fetch_add(1));
  Fd fd(::openat(parent.directory, temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode));
  if (!fd) return failed("create", describe(path));
  auto finish = [&]() -> Result<> {
    STEPPE_TRY_VOID(write_all(fd, describe(path), data));
    if (::fchmod(fd.get(), mode) != 0) return failed("set the mode of", describe(path));
    if (sync == Sync::kYes && ::fsync(fd.get()) != 0) return failed("sync", describe(path));
    STEPPE_TRY_VOID(fd.close());
    if (::renameat(parent.directory, temporary.c_str(), parent.directory, parent.leaf.c_str()) != 0) return failed("rename to", describe(path));
    if (sync == Sync::kNo) return {};
    Fd again(::openat(parent.directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!again || ::fsync(again.get()) != 0) return failed("sync the directory of", describe(path));
    return {};
  };
  Result<> result = finish();
  if (!result.ok()) ::unlinkat(parent.directory, temporary.c_str(), 0);
  return result;
}

Result<> Beneath::symlink(std::string_view target, std::string_view path) const {
  STEPPE_TRY(Parent parent, parent_of(path));
  if (::symlinkat(std::string(target).c_str(), parent.directory, parent.leaf.c_str()) != 0) return failed("make symlink", describe(path));
  return {};
}

Result<> Beneath::move(std::string_view path, const Beneath& to, std::string_view target) const {
  STEPPE_TRY(Parent from, parent_of(path));
  STEPPE_TRY(Parent into, to.parent_of(target));
  if (::renameat(from.directory, from.leaf.c_str(), into.directory, into.leaf.c_str()) != 0) return failed("move", describe(path));
  return {};
}

Result<> Beneath::change_owner(std::string_view path, uint32_t uid, uint32_t gid) const {
  STEPPE_TRY(Fd fd, open(path, O_PATH | O_NOFOLLOW));
  if (::fchownat(fd.get(), "", uid, gid, AT_EMPTY_PATH) != 0) return failed("change the owner of", describe(path));
  return {};
}

Result<> Beneath::remove_tree(std::string_view path) const {
  auto parent = parent_of(path);
  if (!parent.ok()) return parent.error().code() == Code::kNotFound ? Result<>() : Result<>(std::move(parent).error());
  struct stat above;
  if (::fstat(parent->directory, &above) != 0) return failed("stat", describe(path));
  return remove_beneath(parent->directory, parent->leaf.c_str(), describe(path), above.st_dev, 0);
}

Result<Beneath::Usage> Beneath::usage(std::string_view path, uint64_t entry_limit) const {
  STEPPE_TRY(Fd fd, open(path, O_RDONLY | O_DIRECTORY));
  STEPPE_TRY(FileInfo info, stat_fd(fd, describe(path)));
  Usage out;
  STEPPE_TRY_VOID(count_beneath(std::move(fd), describe(path), info.device, entry_limit, 0, out));
  return out;
}

Result<std::string> read_all(const Fd& fd, std::string_view name, Bytes limit) {
  std::string out;
  char buffer[16 * 1024];
  for (;;) {
    ssize_t n = ::pread(fd.get(), buffer, sizeof buffer, static_cast<off_t>(out.size()));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failed("read", name);
    if (n == 0) return out;
    out.append(buffer, static_cast<size_t>(n));
    if (out.size() > limit.count) return {Code::kExhausted, std::format("read {}: longer than {} bytes", name, limit.count)};
  }
}

Result<> write_all(const Fd& fd, std::string_view name, ByteView data) {
  while (!data.empty()) {
    ssize_t n = ::write(fd.get(), data.data(), data.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failed("write", name);
    data = data.subspan(static_cast<size_t>(n));
  }
  return {};
}

}  // namespace steppe::kernel
