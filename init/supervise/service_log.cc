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
#include "init/boot/machine_clock.h"
#include "init/boot/parent_notice.h"
#include "init/sys/kernel/fd.h"

namespace steppe::supervise {
namespace {

constexpr int kInput = 3;
constexpr const char* kDirectory = "/var/log/steppe";

constexpr time_t kClockSeconds = 3600;

time_t seconds_now(clockid_t clock) {
  timespec now = {};
  ::clock_gettime(clock, &now);
  return now.tv_sec;
}

// One file of bounded size and its predecessor.
class Keeper {
 public:
  explicit Keeper(size_t limit) : limit_(limit) {}
  bool valid() const { return file_.valid(); }

  bool open(const char* directory) {
    directory_ = kernel::Fd(::open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    return directory_.valid() && open_file();
  }

  void write(const char* bytes, size_t size) {
    if (used_ + size > limit_) {
      (void)::renameat(directory_.get(), "services.log", directory_.get(), "services.log.1");
      if (!open_file()) return;
    }
    // A full disk loses lines, and the next one is tried again.
    if (ssize_t written = ::write(file_.get(), bytes, size); written > 0) used_ += static_cast<size_t>(written);
  }

  // All that another one has, oldest first.
  void take_over(const Keeper& from) {
    char bytes[16'384];
    for (const char* name : {"services.log.1", "services.log"}) {
      kernel::Fd file(::openat(from.directory_.get(), name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
      for (ssize_t size; file.valid() && (size = ::read(file.get(), bytes, sizeof bytes)) > 0;) write(bytes, static_cast<size_t>(size));
    }
  }

 private:
  bool open_file() {
    file_ = kernel::Fd(::openat(directory_.get(), "services.log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640));
    struct stat st;
    used_ = file_.valid() && ::fstat(file_.get(), &st) == 0 ? static_cast<size_t>(st.st_size) : 0;
    return file_.valid();
  }

  size_t limit_;
  kernel::Fd directory_, file_;
  size_t used_ = 0;
};

// This boot's log in memory, and on the disk once there is one.
class Log {
 public:
  bool open() {
    (void)::mkdir("/var/log", 0755);
    (void)::mkdir(kDirectory, 0750);
    return memory_.open(kDirectory);
  }

  void write(const char* bytes, size_t size) {
    memory_.write(bytes, size);
    if (disk_.valid()) disk_.write(bytes, size);
    else look();
  }

  // Notes the clock when it is time; milliseconds until the next, for poll(2).
  int keep_clock() {
    if (!disk_.valid()) return -1;
    const time_t now = seconds_now(CLOCK_BOOTTIME);
    if (now >= clock_due_) {
      kernel::Fd state(::open("/state", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
      boot::keep_clock(state.get());
      clock_due_ = now + kClockSeconds;
    }
    return static_cast<int>(clock_due_ - now) * 1000;
  }

 private:
  void look() {
    if (::access(kStateReady, F_OK) != 0 || !disk_.open(kKeptLog)) return;
    char id[64];
    kernel::Fd file(::open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC));
    const ssize_t size = file.valid() ? ::read(file.get(), id, 36) : 0;
    const std::string head = "steppe-log 1 boot=" + std::string(id, size > 0 ? static_cast<size_t>(size) : 0) + " time=" + std::to_string(seconds_now(CLOCK_REALTIME)) + "\n";
    disk_.write(head.data(), head.size());
    disk_.take_over(memory_);
  }

  Keeper memory_{kMaxServiceLog}, disk_{kMaxKeptLog};
  time_t clock_due_ = 0;
};

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
bool copy_once(Log& kept, Display& display) {
  char bytes[16'384];
  ssize_t size = ::read(kInput, bytes, sizeof bytes);
  if (size <= 0) return false;
  kept.write(bytes, static_cast<size_t>(size));
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
  Log kept;
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
