#pragma once

#include <memory>
#include <vector>

#include "init/base/result.h"
#include "init/io/wait.h"

namespace steppe::agent {

// Signals of the process as something to await. Blocks them for the calling thread and those it starts later: made before
// any other thread.
class Signals {
 public:
  static Result<std::unique_ptr<Signals>> block(const std::vector<int>& numbers);
  ~Signals();
  Signals(const Signals&) = delete;

  io::Task<Result<int>> next(io::Loop& loop, io::Deadline deadline);

 private:
  explicit Signals(int fd) : fd_(fd) {}
  const int fd_;
};

}  // namespace steppe::agent
