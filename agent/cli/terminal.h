#pragma once

#include <optional>
#include <string>

#include "init/base/bytes.h"
#include "init/base/result.h"
#include "init/io/wait.h"

namespace steppe::cli {

// This process's terminal, for interactive commands.
bool is_terminal(int fd);

struct TerminalSize {
  int height = 0;
  int width = 0;
};
std::optional<TerminalSize> terminal_size(int fd);

// Raw mode while it lives; restored when it goes.
class RawMode {
 public:
  static Result<RawMode> enter(int fd);
  RawMode(RawMode&& other) noexcept;
  RawMode& operator=(RawMode&&) = delete;
  ~RawMode();

 private:
  struct Saved;
  RawMode(int fd, Saved* saved) : fd_(fd), saved_(saved) {}
  int fd_;
  Saved* saved_;
};

// Reads what is there of a terminal, pipe or file: at least one byte, 0 at its end.
io::Task<Result<size_t>> read_input(io::Loop& loop, int fd, ByteSpan into, io::Deadline deadline);

}  // namespace steppe::cli
