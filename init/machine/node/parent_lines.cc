#include "init/machine/node/parent_lines.h"

#include <systemd/sd-daemon.h>

#include <chrono>

namespace steppe::node {
namespace {
constexpr Duration kPause = std::chrono::milliseconds(1'100);
}

void ParentLines::tell(const std::string& words) { (void)sd_notify(0, words.c_str()); }

void ParentLines::show(std::string line) {
  line.resize(std::min(line.size(), kMaxLength));
  (void)lines_.try_push(std::move(line));
}

io::Task<void> ParentLines::run(std::stop_token stop) {
  while (true) {
    Result<std::string> line = co_await lines_.pop({.stop = stop});
    if (!line.ok()) co_return;
    tell("STATUS=" + *line);
    if (!(co_await io::sleep_for(loop_, kPause, stop)).ok()) co_return;
  }
}

}  // namespace steppe::node
