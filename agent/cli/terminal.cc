#include "agent/cli/terminal.h"

#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>

namespace steppe::cli {

bool is_terminal(int fd) { return isatty(fd) == 1; }

std::optional<TerminalSize> terminal_size(int fd) {
  winsize size{};
  if (ioctl(fd, TIOCGWINSZ, &size) != 0) return std::nullopt;
  return TerminalSize{size.ws_row, size.ws_col};
}

struct RawMode::Saved {
  termios before;
};

Result<RawMode> RawMode::enter(int fd) {
  termios mode{};
  if (tcgetattr(fd, &mode) != 0) return Error::from_errno(errno, "tcgetattr");
  auto* saved = new Saved{mode};
  cfmakeraw(&mode);
  if (tcsetattr(fd, TCSANOW, &mode) != 0) {
    const int number = errno;
    delete saved;
    return Error::from_errno(number, "tcsetattr");
  }
  return RawMode(fd, saved);
}

RawMode::RawMode(RawMode&& other) noexcept : fd_(other.fd_), saved_(std::exchange(other.saved_, nullptr)) {}

RawMode::~RawMode() {
  if (saved_ == nullptr) return;
  tcsetattr(fd_, TCSANOW, &saved_->before);
  delete saved_;
}

io::Task<Result<size_t>> read_input(io::Loop& loop, int fd, ByteSpan into, io::Deadline deadline) {
  struct stat status{};
  // epoll refuses regular files: they are always ready.
  const bool pollable = fstat(fd, &status) == 0 && !S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode);
  while (true) {
    if (pollable) {
      Result<> ready = co_await io::wait_ready(loop, fd, io::Readiness::kReadable, deadline);
      if (!ready.ok() && ready.error().sys_errno() != EPERM) co_return std::move(ready).error();  // /dev/null: EPERM, ready
    }
    const ssize_t count = read(fd, into.data(), into.size());
    if (count >= 0) co_return static_cast<size_t>(count);
    if (errno != EINTR && errno != EAGAIN) co_return Error::from_errno(errno, "read standard input");
  }
}

}  // namespace steppe::cli
