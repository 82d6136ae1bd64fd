#pragma once

#include <cstdint>

namespace steppe::boot {

// No image of this source can be older: 2026-11-01T00:00:00Z.
inline constexpr int64_t kSourceEpoch = 1'793'491'200;

// The moment before which this machine's clock is certainly wrong: the newest of kSourceEpoch and the modification time of
// `os_release`. The builder gives every file of the signed root the build's time, so a number from the kernel answers it
// and nothing is read. A time more than 50 years past kSourceEpoch is not believed.
int64_t build_time(const char* os_release);

// Sets the wall clock to build_time() when it is older (an empty battery says 1970, and TLS would then refuse every
// certificate). True when it was changed.
bool raise_clock(const char* os_release = "/usr/lib/os-release");

// The clock's last known value, kept as the modification time of the file `clock` in the machine's state directory: nothing is read.
// Noted hourly and at an orderly end. Best effort.
void keep_clock(int state);
// Raises the wall clock to it when it is older; one more than 50 years past kSourceEpoch is not believed. The clock may still be slow by
// the time the machine was off. True when it was changed.
bool raise_clock_to_kept(int state);

}  // namespace steppe::boot
