#pragma once

#include <sys/types.h>

#include <string>

#include "init/base/bytes.h"
#include "init/base/result.h"
#include "init/sys/kernel/fd.h"

namespace steppe::kernel {

// Files by a path of the host, for paths that only the administrator controls: /proc, /sys, /dev, configuration.
// Everything that a user or task may have named goes through Tree.
Result<Fd> open_host(const std::string& path, int flags, mode_t mode = 0);  // O_CLOEXEC and O_NOCTTY are added
Result<std::string> read_host_file(const std::string& path, Bytes limit = Bytes::kib(256));

}  // namespace steppe::kernel
