#pragma once

#include <cstddef>

#include "init/base/bytes.h"
#include "init/base/result.h"
#include "init/sys/kernel/fd.h"

namespace steppe::kernel {

// One read(2) or write(2) on a non-blocking descriptor: what went through at once. kUnavailable when nothing could now;
// a read of 0 is the end. For pipes and terminals that somebody else made; files and sockets go through init/io.
Result<size_t> read_now(int fd, ByteSpan into);
Result<size_t> write_now(int fd, ByteView bytes);

// A pipe, both ends close-on-exec.
struct Pipe {
  Fd read, write;
};
Result<Pipe> make_pipe();

}  // namespace steppe::kernel
