#pragma once

#include <string_view>

#include "init/sys/kernel/fd.h"

namespace steppe::boot {

// Where PID 1 speaks: the kernel's log, which is there before anything else, survives a crash by pstore, and is what
// `dmesg` shows; and the consoles, for lines that a person or a test waits for whatever `quiet` and the log level are.
//
// Every line is one write of at most kMaxLine bytes; more is cut. Bytes that are not printable ASCII become '?', so that
// nothing which a device or a service put into a name can drive a terminal. Nothing here waits: a console whose other
// end stopped reading loses lines. Used by one thread.
class KernelLog {
 public:
  static constexpr size_t kMaxLine = 256;
  enum class Level : unsigned char { kError = 3, kWarning = 4, kInfo = 6 };  // as in syslog(3)

  // Opens /dev/kmsg and /dev/console. Either may be missing: lines for it are lost. Called again after the root changed
  // or a console appeared.
  void open();

  // To the kernel's log, as "steppe: TEXT".
  void line(Level level, std::string_view text);
  // To the consoles, as "steppe: TEXT", and to the kernel's log at a level that consoles leave out by default, so that a
  // console does not get it twice.
  void status(std::string_view text);

  int kmsg() const { return kmsg_.get(); }

 private:
  static constexpr int kMaxConsoles = 4;
  void to_consoles(std::string_view text);

  kernel::Fd kmsg_;
  kernel::Fd consoles_[kMaxConsoles];
};

// `text` in `into`, with what is not printable ASCII replaced by '?'; returns how many bytes were put there.
size_t printable(std::string_view text, char* into, size_t room);

}  // namespace steppe::boot
