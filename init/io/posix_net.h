#pragma once

#include <memory>

#include "init/io/loop.h"
#include "init/io/stream.h"

namespace steppe::io {

// Sockets of this machine, driven by the readiness of `loop`, which must outlive them. Unix sockets
// are made with mode 0600; a stale socket file at the path is replaced, any other file is an error.
std::unique_ptr<Network> make_posix_network(Loop& loop);

// Takes over a connected stream socket (non-blocking from now on).
std::unique_ptr<Stream> adopt_stream(Loop& loop, int fd);

}  // namespace steppe::io
