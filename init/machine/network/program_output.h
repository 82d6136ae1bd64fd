#pragma once

#include <string>
#include <vector>

#include "init/io/child.h"
#include "init/io/loop.h"
#include "init/io/task.h"
#include "init/io/wait.h"

namespace steppe::network {

struct ProgramOutput {
  io::ExitStatus status;
  std::string text;  // standard output and standard error
};

// Runs a program to its end, with no environment but the one given. It is killed when the deadline comes first (kTimeout, kCancelled)
// or when it writes more than `most` bytes (kExhausted).
io::Task<Result<ProgramOutput>> output_of(io::Loop& loop, io::Processes& processes, std::string program, std::vector<std::string> arguments,
                                          io::Deadline deadline, std::vector<std::string> environment = {}, size_t most = 256 << 10);

}  // namespace steppe::network
