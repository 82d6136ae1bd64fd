#include "init/supervise/hardware_watchdog.h"

#include <fcntl.h>
#include <linux/watchdog.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>


namespace steppe::supervise {
namespace {

constexpr int kMaxDevices = 8;

// What sysfs says, without opening the device: opening starts it, and closing one that has no "magic close" leaves it running.
bool read_identity(int index, char* into, size_t room) {
  char path[64];
  std::snprintf(path, sizeof path, "/sys/class/watchdog/watchdog%d/identity", index);
  kernel::Fd file(::open(path, O_RDONLY | O_CLOEXEC));
  ssize_t size = file.valid() ? ::read(file.get(), into, room - 1) : -1;
  if (size < 0) return false;
  if (size > 0 && into[size - 1] == '\n') --size;
  into[size] = 0;
  return true;
}

}  // namespace

bool is_software_watchdog(std::string_view identity) { return identity == "Software Watchdog"; }

bool HardwareWatchdog::open_at(int index, bool software) {
  char identity[33];
  if (!read_identity(index, identity, sizeof identity) || is_software_watchdog(identity) != software) return false;
  char path[64];
  std::snprintf(path, sizeof path, "%s/watchdog%d", directory_, index);
  kernel::Fd device(::open(path, O_WRONLY | O_CLOEXEC));
  if (!device.valid()) return false;
  // The software one held so far is told to stop: 'V' is its magic word.
  if (device_.valid()) (void)!::write(device_.get(), "V", 1);
  device_ = std::move(device);
  software_ = software;
  std::memcpy(identity_, identity, sizeof identity_);
  // Drivers round or refuse; what they took is read back.
  int wanted = kTimeoutSeconds;
  (void)::ioctl(device_.get(), WDIOC_SETTIMEOUT, &wanted);
  timeout_ = 0;
  (void)::ioctl(device_.get(), WDIOC_GETTIMEOUT, &timeout_);
  feed();
  return true;
}

bool HardwareWatchdog::look() {
  if (held() && !software_) return false;
  for (bool software : {false, true}) {
    if (software && held()) return false;
    for (int i = 0; i < kMaxDevices; ++i) {
      if (open_at(i, software)) return true;
    }
  }
  return false;
}

void HardwareWatchdog::feed() {
  if (device_.valid()) (void)::ioctl(device_.get(), WDIOC_KEEPALIVE, 0);
}

}  // namespace steppe::supervise
