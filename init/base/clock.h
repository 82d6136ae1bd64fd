#pragma once

#include <chrono>
#include <cstdint>

namespace steppe {

using Duration = std::chrono::nanoseconds;

// Time since an arbitrary start that never goes back (CLOCK_BOOTTIME: it counts while suspended).
struct MonoTime {
  int64_t ns = 0;
  friend auto operator<=>(MonoTime, MonoTime) = default;
  friend MonoTime operator+(MonoTime t, Duration d) { return {t.ns + d.count()}; }
  friend Duration operator-(MonoTime a, MonoTime b) { return Duration(a.ns - b.ns); }
};

// Nanoseconds since 1970-01-01T00:00:00Z. May jump: never used for deadlines.
struct WallTime {
  int64_t unix_ns = 0;
  friend auto operator<=>(WallTime, WallTime) = default;
  friend WallTime operator+(WallTime t, Duration d) { return {t.unix_ns + d.count()}; }
  friend Duration operator-(WallTime a, WallTime b) { return Duration(a.unix_ns - b.unix_ns); }
};

// The only way to learn the time. Handed in; the simulator has its own. Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual MonoTime now() const = 0;
  virtual WallTime wall() const = 0;
};

}  // namespace steppe
