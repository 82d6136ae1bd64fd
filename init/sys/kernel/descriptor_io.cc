#include "init/sys/kernel/descriptor_io.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

namespace steppe::kernel {
namespace {

Error failure(int number, const char* what) {
  if (number == EAGAIN || number == EWOULDBLOCK) return Error(Code::kUnavailable, what);
  return Error::from_errno(number, what);
}

}  // namespace

Result<size_t> read_now(int fd, ByteSpan into) {
  for (;;) {
    ssize_t n = ::read(fd, into.data(), into.size());
    if (n >= 0) return static_cast<size_t>(n);
    if (errno != EINTR) return failure(errno, "read");
  }
}

Result<size_t> write_now(int fd, ByteView bytes) {
  for (;;) {
    ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n >= 0) return static_cast<size_t>(n);
    if (errno != EINTR) return failure(errno, "write");
  }
}

Result<Pipe> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return Error::from_errno(errno, "make a pipe");
  return Pipe{Fd(ends[0]), Fd(ends[1])};
}

}  // namespace steppe::kernel
