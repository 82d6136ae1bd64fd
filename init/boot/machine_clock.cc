#include "init/boot/machine_clock.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "init/sys/kernel/fd.h"

namespace steppe::boot {

namespace {
constexpr int64_t kFarthest = kSourceEpoch + int64_t{50} * 365 * 86'400;

bool raise_to(int64_t least) {
  timespec now;
  if (::clock_gettime(CLOCK_REALTIME, &now) != 0 || now.tv_sec >= least) return false;
  timespec raised = {static_cast<time_t>(least), 0};
  return ::clock_settime(CLOCK_REALTIME, &raised) == 0;
}
}  // namespace

int64_t build_time(const char* os_release) {
  struct stat st;
  if (::stat(os_release, &st) != 0 || st.st_mtime <= kSourceEpoch || st.st_mtime > kFarthest) return kSourceEpoch;
  return st.st_mtime;
}

bool raise_clock(const char* os_release) { return raise_to(build_time(os_release)); }

void keep_clock(int state) {
  kernel::Fd file(::openat(state, "clock", O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644));
  if (file.valid() && ::futimens(file.get(), nullptr) == 0) (void)::fsync(file.get());
}

bool raise_clock_to_kept(int state) {
  struct stat st;
  if (::fstatat(state, "clock", &st, AT_SYMLINK_NOFOLLOW) != 0 || st.st_mtime > kFarthest) return false;
  return raise_to(st.st_mtime);
}

}  // namespace steppe::boot
