#include "init/sys/kernel/host_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <format>

namespace steppe::kernel {

Result<Fd> open_host(const std::string& path, int flags, mode_t mode) {
  int fd = ::open(path.c_str(), flags | O_CLOEXEC | ((flags & O_PATH) != 0 ? 0 : O_NOCTTY), mode);
  if (fd < 0) return Error::from_errno(errno, std::format("open {}", path));
  return Fd(fd);
}

// By read, not pread: several files of /proc have no positions.
Result<std::string> read_host_file(const std::string& path, Bytes limit) {
  STEPPE_TRY(Fd fd, open_host(path, O_RDONLY));
  std::string out;
  char buffer[16 * 1024];
  for (;;) {
    ssize_t n = ::read(fd.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Error::from_errno(errno, std::format("read {}", path));
    if (n == 0) return out;
    out.append(buffer, static_cast<size_t>(n));
    if (out.size() > limit.count) return {Code::kExhausted, std::format("read {}: longer than {} bytes", path, limit.count)};
  }
}

}  // namespace steppe::kernel
