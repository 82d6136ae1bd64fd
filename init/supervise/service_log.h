#pragma once

#include <cstddef>
#include <functional>
#include <string_view>

namespace steppe::supervise {

// The program of the child that keeps what services write: from descriptor 3 (a pipe of which PID 1 holds both ends, so that
// neither a service nor this child loses the other's) into /var/log/steppe/services.log. At kMaxFile bytes the file becomes
// services.log.1, in place of an older one. SIGTERM: what is in the pipe is written, then the end. A disk that is full or slow
// stops this child and, once the pipe is full, the services' own writes: never PID 1. Lines with "[ERROR]" go to the console too,
// at most kMaxShown of them in kShownSeconds.
//
// Once the machine has a disk for its state, all of this boot goes there, too (kept_log.h), rotated at kMaxKeptLog; and the clock is kept
// hourly.
inline constexpr size_t kMaxServiceLog = 1 << 20;
inline constexpr size_t kMaxKeptLog = 4 << 20;
inline constexpr int kMaxShown = 5, kShownSeconds = 10;
int run_service_log();

// Finds the lines that say an error ("[ERROR]") in what services write, whatever pieces it comes in. Of a line only its first kMaxLine
// bytes are looked at. Pure.
class ErrorLines {
 public:
  static constexpr size_t kMaxLine = 512;
  // Calls `found` with each one that ends in `bytes`, from "[ERROR]" on.
  void read(std::string_view bytes, const std::function<void(std::string_view)>& found);

 private:
  char line_[kMaxLine];
  size_t used_ = 0;
};

}  // namespace steppe::supervise
