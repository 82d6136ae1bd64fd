#pragma once

#include <memory>

#include "init/io/child.h"
#include "init/io/loop.h"

namespace steppe::io {

// Children of this process: posix_spawn and pidfds. The loop must outlive them.
std::unique_ptr<Processes> make_posix_processes(Loop& loop);

}  // namespace steppe::io
