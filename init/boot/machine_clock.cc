#include "init/boot/machine_clock.h"

#include <sys/stat.h>
#include <time.h>

namespace steppe::boot {

int64_t build_time(const char* os_release) {
  constexpr int64_t kFarthest = kSourceEpoch + int64_t{50} * 365 * 86'400;
  struct stat st;
  if (::stat(os_release, &st) != 0 || st.st_mtime <= kSourceEpoch || st.st_mtime > kFarthest) return kSourceEpoch;
  return st.st_mtime;
}

bool raise_clock(const char* os_release) {
  timespec now;
  int64_t least = build_time(os_release);
  if (::clock_gettime(CLOCK_REALTIME, &now) != 0 || now.tv_sec >= least) return false;
  timespec raised = {static_cast<time_t>(least), 0};
  return ::clock_settime(CLOCK_REALTIME, &raised) == 0;
}

}  // namespace steppe::boot
