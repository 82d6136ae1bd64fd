#pragma once

#include <string>

#include "init/io/loop.h"
#include "init/io/task.h"
#include "init/io/wait.h"

namespace steppe::node {

// What PID 1 shows on the console for us (STATUS=), one line after the other: it shows one a second, and of two that come
// sooner only the first. At most kMaxLines wait; later ones are dropped.
class ParentLines {
 public:
  static constexpr size_t kMaxLines = 64, kMaxLength = 120;  // supervise::Notice::kMaxStatus

  explicit ParentLines(io::Loop& loop) : loop_(loop), lines_(loop, kMaxLines) {}

  // `words` go to PID 1 at once: "READY=1".
  static void tell(const std::string& words);
  void show(std::string line);
  io::Task<void> run(std::stop_token stop);

 private:
  io::Loop& loop_;
  io::Channel<std::string> lines_;
};

}  // namespace steppe::node
