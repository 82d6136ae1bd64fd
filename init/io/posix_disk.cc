#include "init/io/posix_disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "init/io/wait.h"

namespace steppe::io {
namespace {

// Runs the call where the disk's calls block.
template <class F>
Task<std::invoke_result_t<F&>> perform(Loop& loop, DiskCalls calls, F work) {
  if (calls == DiskCalls::kInline) co_return work();
  co_return co_await run_blocking(loop, std::move(work));
}

Result<> check_name(std::string_view name) {
  if (name.empty() || name == "." || name == ".." || name.size() > 255 || name.find('/') != name.npos ||
      name.find('\0') != name.npos) {
    return Error(Code::kInvalid, "not a file name: \"" + std::string(name.substr(0, 64)) + "\"");
  }
  return {};
}

Result<> write_fd(int fd, uint64_t offset, ByteView bytes) {
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t count = pwrite(fd, bytes.data() + done, bytes.size() - done, static_cast<off_t>(offset + done));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return Error::from_errno(count < 0 ? errno : ENOSPC, "pwrite");
    done += static_cast<size_t>(count);
  }
  return {};
}

Result<> sync_fd(int fd) {
  int status;
  do status = fdatasync(fd);
  while (status != 0 && errno == EINTR);
  if (status != 0) return Error::from_errno(errno, "fdatasync");
  return {};
}

class PosixFile final : public File {
 public:
  PosixFile(Loop& loop, DiskCalls calls, std::shared_ptr<SyncPace> pace, int fd)
      : loop_(loop), calls_(calls), pace_(std::move(pace)), fd_(fd) {}
  ~PosixFile() override { close(fd_); }

  Task<Result<size_t>> read_at(uint64_t offset, ByteSpan into) override {
    auto work = [fd = fd_, offset, into]() -> Result<size_t> {
      size_t done = 0;
      while (done < into.size()) {
        const ssize_t count = pread(fd, into.data() + done, into.size() - done, static_cast<off_t>(offset + done));
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return Error::from_errno(errno, "pread");
        if (count == 0) break;
        done += static_cast<size_t>(count);
      }
      return done;
    };
    return perform(loop_, calls_, work);
  }

  Task<Result<>> write_at(uint64_t offset, ByteView bytes) override {
    auto work = [fd = fd_, offset, bytes] { return write_fd(fd, offset, bytes); };
    return perform(loop_, calls_, work);
  }

  Task<Result<>> write_and_sync(uint64_t offset, ByteView bytes) override {
    auto work = [fd = fd_, offset, bytes, pace = pace_, &clock = static_cast<const Clock&>(loop_)]() -> Result<> {
      const MonoTime begin = clock.now();
      STEPPE_TRY_VOID(write_fd(fd, offset, bytes));
      STEPPE_TRY_VOID(sync_fd(fd));
      pace->took(clock.now() - begin);
      return {};
    };
    const bool here = calls_ == DiskCalls::kSyncWhileQuick && pace_->quick();
    return perform(loop_, here ? DiskCalls::kInline : calls_, std::move(work));
  }

  Task<Result<>> sync() override {
    auto work = [fd = fd_] { return sync_fd(fd); };
    return perform(loop_, calls_, work);
  }

  Task<Result<>> truncate(uint64_t size) override {
    auto work = [fd = fd_, size]() -> Result<> {
      if (ftruncate(fd, static_cast<off_t>(size)) != 0) return Error::from_errno(errno, "ftruncate");
      return {};
    };
    return perform(loop_, calls_, work);
  }

  Task<Result<>> allocate(uint64_t size) override {
    auto work = [fd = fd_, size]() -> Result<> {
      const int number = posix_fallocate(fd, 0, static_cast<off_t>(size));
      if (number != 0) return Error::from_errno(number, "posix_fallocate");
      return {};
    };
    return perform(loop_, calls_, work);
  }

  Task<Result<uint64_t>> size() override {
    auto work = [fd = fd_]() -> Result<uint64_t> {
      struct stat status{};
      if (fstat(fd, &status) != 0) return Error::from_errno(errno, "fstat");
      return static_cast<uint64_t>(status.st_size);
    };
    return perform(loop_, calls_, work);
  }

 private:
  Loop& loop_;
  const DiskCalls calls_;
  const std::shared_ptr<SyncPace> pace_;  // of the directory
  const int fd_;
};

Result<int> open_regular(int directory, const std::string& name, OpenMode mode) {
  STEPPE_TRY_VOID(check_name(name));
  int flags = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
  switch (mode) {
    case OpenMode::kRead: flags |= O_RDONLY; break;
    case OpenMode::kReadWrite: flags |= O_RDWR; break;
    case OpenMode::kCreate: flags |= O_RDWR | O_CREAT; break;
    case OpenMode::kCreateNew: flags |= O_RDWR | O_CREAT | O_EXCL; break;
  }
  const int fd = openat(directory, name.c_str(), flags, 0600);
  if (fd < 0) return Error::from_errno(errno, "open " + name);
  struct stat status{};
  if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
    close(fd);
    return Error(Code::kInvalid, "open " + name + ": not a regular file");
  }
  return fd;
}

Result<int> open_dir_fd(int at, const char* path) {
  const int fd = openat(at, path, O_DIRECTORY | O_RDONLY | O_CLOEXEC | (at == AT_FDCWD ? 0 : O_NOFOLLOW));
  if (fd < 0) return Error::from_errno(errno, std::string("open directory ") + path);
  return fd;
}

Result<std::vector<Directory::Entry>> list_directory(int fd) {
  const int copy = openat(fd, ".", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
  if (copy < 0) return Error::from_errno(errno, "open directory for listing");
  DIR* stream = fdopendir(copy);
  if (stream == nullptr) {
    const int number = errno;
    close(copy);
    return Error::from_errno(number, "fdopendir");
  }
  std::vector<Directory::Entry> entries;
  while (true) {
    errno = 0;
    const dirent* entry = readdir(stream);  // NOLINT: one stream, one thread
    if (entry == nullptr) break;
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    entries.push_back({std::string(name), entry->d_type == DT_DIR});
  }
  const int number = errno;
  closedir(stream);
  if (number != 0) return Error::from_errno(number, "readdir");
  std::ranges::sort(entries, {}, &Directory::Entry::name);
  return entries;
}

class PosixDirectory final : public Directory {
 public:
  PosixDirectory(Loop& loop, DiskCalls calls, std::shared_ptr<SyncPace> pace, int fd)
      : loop_(loop), calls_(calls), pace_(std::move(pace)), fd_(fd) {}
  ~PosixDirectory() override { close(fd_); }

  Task<Result<std::unique_ptr<File>>> open(std::string name, OpenMode mode) override {
    auto work = [this, name = std::move(name), mode]() -> Result<std::unique_ptr<File>> {
      STEPPE_TRY(const int fd, open_regular(fd_, name, mode));
      return std::unique_ptr<File>(std::make_unique<PosixFile>(loop_, calls_, pace_, fd));
    };
    return perform(loop_, calls_, std::move(work));
  }

  Task<Result<std::unique_ptr<Directory>>> open_directory(std::string name) override {
    auto work = [this, name = std::move(name)]() -> Result<std::unique_ptr<Directory>> {
      STEPPE_TRY_VOID(check_name(name));
      STEPPE_TRY(const int fd, open_dir_fd(fd_, name.c_str()));
      return std::unique_ptr<Directory>(std::make_unique<PosixDirectory>(loop_, calls_, pace_, fd));
    };
    return perform(loop_, calls_, std::move(work));
  }

  Task<Result<>> make_directory(std::string name) override {
    auto work = [fd = fd_, name = std::move(name)]() -> Result<> {
      STEPPE_TRY_VOID(check_name(name));
      if (mkdirat(fd, name.c_str(), 0700) != 0) return Error::from_errno(errno, "mkdir " + name);
      return {};
    };
    return perform(loop_, calls_, std::move(work));
  }

  Task<Result<std::vector<Entry>>> list() override {
    auto work = [fd = fd_] { return list_directory(fd); };
    return perform(loop_, calls_, work);
  }

  Task<Result<>> rename(std::string from, std::string to) override {
    auto work = [fd = fd_, from = std::move(from), to = std::move(to)]() -> Result<> {
      STEPPE_TRY_VOID(check_name(from));
      STEPPE_TRY_VOID(check_name(to));
      if (renameat(fd, from.c_str(), fd, to.c_str()) != 0) return Error::from_errno(errno, "rename " + from + " to " + to);
      return {};
    };
    return perform(loop_, calls_, std::move(work));
  }

  Task<Result<>> remove(std::string name) override {
    auto work = [fd = fd_, name = std::move(name)]() -> Result<> {
      STEPPE_TRY_VOID(check_name(name));
      if (unlinkat(fd, name.c_str(), 0) == 0) return {};
      if ((errno == EISDIR || errno == EPERM) && unlinkat(fd, name.c_str(), AT_REMOVEDIR) == 0) return {};
      return Error::from_errno(errno, "remove " + name);
    };
    return perform(loop_, calls_, std::move(work));
  }

  Task<Result<>> sync() override {
    auto work = [fd = fd_] { return sync_fd(fd); };
    return perform(loop_, calls_, work);
  }

 private:
  Loop& loop_;
  const DiskCalls calls_;
  const std::shared_ptr<SyncPace> pace_;
  const int fd_;
};

}  // namespace

void SyncPace::took(Duration time) {
  const int64_t ns = time.count(), before = average_ns_.load(std::memory_order_relaxed);
  const int64_t average = before == 0 ? ns : before + (ns - before) / 16;
  average_ns_.store(average, std::memory_order_relaxed);
  if (time > kStall || average > kQuick.count()) in_a_row_.store(0, std::memory_order_relaxed);
  else in_a_row_.fetch_add(1, std::memory_order_relaxed);
}

Result<std::unique_ptr<Directory>> open_posix_directory(Loop& loop, const std::string& path, DiskCalls calls) {
  if (!path.starts_with('/')) return Error(Code::kInvalid, "not an absolute path: " + path);
  if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return Error::from_errno(errno, "mkdir " + path);
  STEPPE_TRY(const int fd, open_dir_fd(AT_FDCWD, path.c_str()));
  return std::unique_ptr<Directory>(std::make_unique<PosixDirectory>(loop, calls, std::make_shared<SyncPace>(), fd));
}

}  // namespace steppe::io
