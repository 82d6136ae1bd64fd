#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "init/base/result.h"
#include "init/io/task.h"
#include "init/io/wait.h"

namespace steppe::io {

struct ExitStatus {
  int code = 0;    // valid when signal is 0
  int signal = 0;  // the signal that ended it
  bool ok() const { return code == 0 && signal == 0; }
};

struct SpawnOptions {
  std::string program;                  // absolute path
  std::vector<std::string> arguments;   // without argv[0], which is the program
  std::vector<std::string> environment; // "KEY=VALUE"; nothing is inherited
  std::vector<std::pair<int, int>> descriptors;  // ours -> the child's number; all others are closed
};

// A child process, reaped by wait(). Destroying it before that kills it and reaps it.
class Child {
 public:
  virtual ~Child() = default;
  virtual int pid() const = 0;
  virtual Result<> signal(int number) = 0;
  virtual Task<Result<ExitStatus>> wait(Deadline deadline) = 0;
};

class Processes {
 public:
  virtual ~Processes() = default;
  // Blocks until the program was executed or refused (vfork semantics).
  virtual Result<std::unique_ptr<Child>> spawn(const SpawnOptions& options) = 0;
};

}  // namespace steppe::io
