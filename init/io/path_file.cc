#include "init/io/path_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <format>

namespace steppe::io {

Result<std::string> read_path(const std::string& path, Bytes limit) {
  const int fd = path == "-" ? dup(STDIN_FILENO) : open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY);
  if (fd < 0) return Error::from_errno(errno, "open " + path);
  std::string content;
  char buffer[16 << 10];
  while (true) {
    const ssize_t count = read(fd, buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      const int number = errno;
      close(fd);
      return Error::from_errno(number, "read " + path);
    }
    if (count == 0) break;
    content.append(buffer, static_cast<size_t>(count));
    if (content.size() > limit.count) {
      close(fd);
      return Error(Code::kExhausted, std::format("{}: longer than {} bytes", path, limit.count));
    }
  }
  close(fd);
  return content;
}

Result<> create_path(const std::string& path, std::string_view content) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd < 0) return Error::from_errno(errno, "create " + path);
  while (!content.empty()) {
    const ssize_t count = write(fd, content.data(), content.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      const int number = errno;
      close(fd);
      unlink(path.c_str());
      return Error::from_errno(number, "write " + path);
    }
    content.remove_prefix(static_cast<size_t>(count));
  }
  if (close(fd) != 0) return Error::from_errno(errno, "close " + path);
  return {};
}

PathKind kind_of_path(const std::string& path) {
  struct stat status{};
  if (stat(path.c_str(), &status) != 0) return PathKind::kMissing;
  if (S_ISREG(status.st_mode)) return PathKind::kFile;
  return S_ISDIR(status.st_mode) ? PathKind::kDirectory : PathKind::kOther;
}

Result<std::vector<std::string>> list_path(const std::string& path) {
  DIR* stream = opendir(path.c_str());
  if (stream == nullptr) return Error::from_errno(errno, "open directory " + path);
  std::vector<std::string> names;
  while (const dirent* entry = readdir(stream)) {  // NOLINT: one stream, one thread
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  closedir(stream);
  std::ranges::sort(names);
  return names;
}

Result<std::string> working_directory() {
  char buffer[PATH_MAX];
  if (getcwd(buffer, sizeof buffer) == nullptr) return Error::from_errno(errno, "getcwd");
  return std::string(buffer);
}

}  // namespace steppe::io
