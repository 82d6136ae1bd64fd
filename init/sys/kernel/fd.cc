#include "init/sys/kernel/fd.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <format>

namespace steppe::kernel {

// Linux frees the number even when close() reports EINTR, so it is never repeated (close(2), NOTES).
void Fd::reset() {
  if (number_ >= 0) ::close(std::exchange(number_, -1));
}

Result<Fd> Fd::duplicate() const {
  int copy = ::fcntl(number_, F_DUPFD_CLOEXEC, 3);
  if (copy < 0) return Error::from_errno(errno, std::format("duplicate descriptor {}", number_));
  return Fd(copy);
}

Result<> Fd::close() {
  if (number_ < 0) return {};
  int number = std::exchange(number_, -1);
  if (::close(number) != 0 && errno != EINTR) return Error::from_errno(errno, std::format("close descriptor {}", number));
  return {};
}

}  // namespace steppe::kernel
