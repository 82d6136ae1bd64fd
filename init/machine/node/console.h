#pragma once

#include <functional>
#include <string>
#include <vector>

#include "init/io/loop.h"
#include "init/io/task.h"
#include "init/io/wait.h"
#include "init/machine/node/console_line.h"

namespace steppe::node {

// The terminals that the kernel has as consoles (/sys/class/tty/console/active below `root`), as paths below /dev.
std::vector<std::string> console_devices(const std::string& root);

// Reads lines from a terminal until `stop`, or until it cannot be read any more, and writes what `answer` says to each. A line that is too
// long is refused whole. The terminal stays as it is: it gives lines and shows what is typed by itself.
io::Task<void> serve_console(io::Loop& loop, std::string path, std::function<std::string(Result<ConsoleLine>)> answer, std::stop_token stop);

}  // namespace steppe::node
