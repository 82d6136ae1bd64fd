#pragma once

#include <cstddef>
#include <string_view>

#include "init/sys/kernel/fd.h"

namespace steppe::supervise {

// The machine's watchdog: resets the machine when it is not fed for a while. Chosen by what the device says it is: a timer of
// the kernel's own ("Software Watchdog") dies with the kernel, so it is used only while no hardware is there, and let go of when
// some appears. Used by one thread.
class HardwareWatchdog {
 public:
  // `directory`: where watchdog0, watchdog1, ... are, "/dev" in the machine.
  explicit HardwareWatchdog(const char* directory = "/dev") : directory_(directory) {}

  // Looks for a better one than we have: none -> software -> hardware. True when that changed what we hold. A driver may come
  // with any module, so this is asked again and again; with hardware held it costs nothing.
  bool look();
  void feed();

  bool held() const { return device_.valid(); }
  std::string_view identity() const { return identity_; }
  int timeout_seconds() const { return timeout_; }  // as the driver understood it; 0: it does not say

  // Wanted of every device: feeding comes every few seconds, so this is for a machine that hangs, not for one that is slow.
  static constexpr int kTimeoutSeconds = 60;

 private:
  bool open_at(int index, bool software);

  const char* directory_;
  kernel::Fd device_;
  bool software_ = false;
  char identity_[33] = "";
  int timeout_ = 0;
};

// Whether a driver's identity is the kernel's own timer. Pure.
bool is_software_watchdog(std::string_view identity);

}  // namespace steppe::supervise
