#include "init/supervise/machine_end.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/reboot.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>

#include "init/sys/kernel/fd.h"

namespace steppe::supervise {
namespace {

constexpr int64_t kResetAfterSeconds = 10;

struct Forced {
  MonoTime at;
  Ending ending;
  int trigger;  // /proc/sysrq-trigger, open before anything can hang
};
Forced forced;

void wait_until(MonoTime at) {
  timespec until = {static_cast<time_t>(at.ns / 1'000'000'000), static_cast<long>(at.ns % 1'000'000'000)};
  while (::clock_nanosleep(CLOCK_BOOTTIME, TIMER_ABSTIME, &until, nullptr) == EINTR) {
  }
}

void* reset_later(void*) {
  wait_until(forced.at + std::chrono::seconds(kResetAfterSeconds));
  (void)!::write(forced.trigger, "b", 1);
  return nullptr;
}

void* end_at_deadline(void*) {
  wait_until(forced.at);
  // Whoever calls reboot(2) may not come back, so the last resort needs a thread of its own.
  pthread_t last;
  (void)::pthread_create(&last, nullptr, reset_later, nullptr);
  end_machine(forced.ending);
  return nullptr;
}

}  // namespace

void end_machine(Ending ending) {
  switch (ending) {
    case Ending::kReboot: (void)::reboot(RB_AUTOBOOT); return;
    case Ending::kPowerOff: (void)::reboot(RB_POWER_OFF); return;
    case Ending::kHalt: (void)::reboot(RB_HALT_SYSTEM); return;
  }
}

Result<> force_end_at(MonoTime at, Ending ending) {
  forced = {at, ending, ::open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC)};
  pthread_t thread;
  if (int error = ::pthread_create(&thread, nullptr, end_at_deadline, nullptr); error != 0) return Error::from_errno(error, "start the thread that forces the end");
  return {};
}

}  // namespace steppe::supervise
