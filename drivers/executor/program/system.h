#pragma once

#include <asm/unistd.h>
#include <stddef.h>
#include <stdint.h>
#if __STDC_HOSTED__  // unit tests
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#else
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/stat.h>
#endif

#include "init/sys/kernel/raw.h"

// The few system calls of the executor, with their arguments typed. Results are the kernel's: -errno on failure.
namespace steppe::executor {

using kernel::raw::pointer;
using kernel::raw::syscall;

inline long sys_close(int fd) { return syscall(__NR_close, fd); }
inline long sys_read(int fd, void* buffer, size_t size) { return syscall(__NR_read, fd, pointer(buffer), static_cast<long>(size)); }
inline long sys_write(int fd, const void* data, size_t size) { return syscall(__NR_write, fd, pointer(data), static_cast<long>(size)); }
inline long sys_openat(int dir, const char* path, int flags, int mode = 0) {
  return syscall(__NR_openat, dir, pointer(path), flags | O_CLOEXEC, mode);
}
inline long sys_unlinkat(int dir, const char* path, int flags = 0) { return syscall(__NR_unlinkat, dir, pointer(path), flags); }
[[noreturn]] inline void sys_exit(int code) {
  for (;;) syscall(__NR_exit_group, code);
}

struct Timespec {
  int64_t seconds = 0;
  int64_t nanoseconds = 0;
  int64_t ns() const { return seconds * 1'000'000'000 + nanoseconds; }
};
inline int64_t clock_ns(int clock) {
  Timespec now;
  syscall(__NR_clock_gettime, clock, pointer(&now));
  return now.ns();
}
inline constexpr int kRealtime = 0, kBoottime = 7;

// Appends the decimal form of `value` at `out` and returns the end. Not terminated.
inline char* put_number(char* out, uint64_t value) {
  char digits[20];
  int n = 0;
  do {
    digits[n++] = static_cast<char>('0' + value % 10);
    value /= 10;
  } while (value != 0);
  while (n > 0) *out++ = digits[--n];
  return out;
}

}  // namespace steppe::executor
