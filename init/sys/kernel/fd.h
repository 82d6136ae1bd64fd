#pragma once

#include <utility>

#include "init/base/result.h"

namespace steppe::kernel {

// Owns one file descriptor. Moves leave the source empty. Destruction closes and ignores the answer, which is right
// for everything that was only read or whose writes were synced; a writer that must know calls close().
class Fd {
 public:
  Fd() = default;
  explicit Fd(int number) : number_(number) {}
  Fd(Fd&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      reset();
      number_ = std::exchange(other.number_, -1);
    }
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(); }

  int get() const { return number_; }
  bool valid() const { return number_ >= 0; }
  explicit operator bool() const { return valid(); }

  // Gives the number away; the caller closes it.
  int release() { return std::exchange(number_, -1); }
  void reset();

  // A second descriptor of the same open file, close-on-exec.
  Result<Fd> duplicate() const;

  // Closes and reports what the kernel said (late write errors of network filesystems, EDQUOT).
  Result<> close();

 private:
  int number_ = -1;
};

}  // namespace steppe::kernel
