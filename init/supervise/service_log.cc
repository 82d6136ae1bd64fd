#include "init/supervise/service_log.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "init/boot/kernel_log.h"
#include "init/boot/parent_notice.h"
#include "init/supervise/kept_log.h"
#include "init/sys/kernel/fd.h"

namespace steppe::supervise {
namespace {

constexpr int kInput = 3;

// Shows errors to whoever stands before the machine, and no flood of them.
class Display {
 public:
  explicit Display(boot::KernelLog& log) : log_(log) {}

  void read(std::string_view bytes) {
    lines_.read(bytes, [this](std::string_view line) {
      timespec now;
      ::clock_gettime(CLOCK_BOOTTIME, &now);
      if (now.tv_sec - since_ >= kShownSeconds) since_ = now.tv_sec, shown_ = 0;
      if (++shown_ <= kMaxShown) log_.status(line);
    });
  }

 private:
  boot::KernelLog& log_;
  ErrorLines lines_;
  time_t since_ = 0;
  int shown_ = 0;
};

// False at the pipe's end.
bool copy_once(KeptLog& kept, Display& display) {
  char bytes[16'384];
  ssize_t size = ::read(kInput, bytes, sizeof bytes);
  if (size <= 0) return false;
  kept.write({bytes, static_cast<size_t>(size)});
  display.read({bytes, static_cast<size_t>(size)});
  return true;
}

}  // namespace

void ErrorLines::read(std::string_view bytes, const std::function<void(std::string_view)>& found) {
  while (!bytes.empty()) {
    size_t end = bytes.find('\n');
    std::string_view part = bytes.substr(0, end);
    size_t taken = std::min(part.size(), kMaxLine - used_);
    std::memcpy(line_ + used_, part.data(), taken);
    used_ += taken;
    if (end == std::string_view::npos) return;
    std::string_view line(line_, used_);
    if (size_t at = line.find("[ERROR]"); at != std::string_view::npos) found(line.substr(at));
    used_ = 0;
    bytes.remove_prefix(end + 1);
  }
}

int run_service_log() {
  sigset_t ends;
  ::sigemptyset(&ends);
  ::sigaddset(&ends, SIGTERM);
  ::sigprocmask(SIG_BLOCK, &ends, nullptr);
  kernel::Fd signals(::signalfd(-1, &ends, SFD_CLOEXEC));
  (void)::fcntl(kInput, F_SETFL, O_NONBLOCK);
  boot::KernelLog log;
  log.open();
  KeptLog kept({.memory_limit = kMaxServiceLog, .disk_limit = kMaxKeptLog});
  Display display(log);
  if (!kept.open()) {
    log.line(boot::KernelLog::Level::kError, "open /var/log/steppe/services.log: " + std::to_string(errno));
    return 1;
  }
  boot::tell_parent("READY=1");
  while (true) {
    pollfd both[2] = {{kInput, POLLIN, 0}, {signals.get(), POLLIN, 0}};
    if (::poll(both, 2, kept.keep_clock()) < 0 && errno != EINTR) return 1;
    if ((both[0].revents & POLLIN) != 0) (void)copy_once(kept, display);
    if ((both[1].revents & POLLIN) != 0) {
      while (copy_once(kept, display)) {
      }
      return 0;
    }
  }
}

}  // namespace steppe::supervise
