#include "init/supervise/service_log.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "init/boot/kernel_log.h"
#include "init/boot/parent_notice.h"
#include "init/sys/kernel/fd.h"

namespace steppe::supervise {
namespace {

constexpr int kInput = 3;
constexpr const char* kDirectory = "/var/log/steppe";

// One file of bounded size and its predecessor.
class Keeper {
 public:
  bool open() {
    (void)::mkdir("/var/log", 0755);
    (void)::mkdir(kDirectory, 0750);
    directory_ = kernel::Fd(::open(kDirectory, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    return directory_.valid() && open_file();
  }

  void write(const char* bytes, size_t size) {
    if (used_ + size > kMaxServiceLog) {
      (void)::renameat(directory_.get(), "services.log", directory_.get(), "services.log.1");
      if (!open_file()) return;
    }
    // A full disk loses lines, and the next one is tried again.
    if (ssize_t written = ::write(file_.get(), bytes, size); written > 0) used_ += static_cast<size_t>(written);
  }

 private:
  bool open_file() {
    file_ = kernel::Fd(::openat(directory_.get(), "services.log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640));
    struct stat st;
    used_ = file_.valid() && ::fstat(file_.get(), &st) == 0 ? static_cast<size_t>(st.st_size) : 0;
    return file_.valid();
  }

  kernel::Fd directory_, file_;
  size_t used_ = 0;
};

// False at the pipe's end.
bool copy_once(Keeper& keeper) {
  char bytes[16'384];
  ssize_t size = ::read(kInput, bytes, sizeof bytes);
  if (size > 0) keeper.write(bytes, static_cast<size_t>(size));
  return size > 0;
}

}  // namespace

int run_service_log() {
  sigset_t ends;
  ::sigemptyset(&ends);
  ::sigaddset(&ends, SIGTERM);
  ::sigprocmask(SIG_BLOCK, &ends, nullptr);
  kernel::Fd signals(::signalfd(-1, &ends, SFD_CLOEXEC));
  (void)::fcntl(kInput, F_SETFL, O_NONBLOCK);
  Keeper keeper;
  if (!keeper.open()) {
    boot::KernelLog log;
    log.open();
    log.line(boot::KernelLog::Level::kError, "open /var/log/steppe/services.log: " + std::to_string(errno));
    return 1;
  }
  boot::tell_parent("READY=1");
  while (true) {
    pollfd both[2] = {{kInput, POLLIN, 0}, {signals.get(), POLLIN, 0}};
    if (::poll(both, 2, -1) < 0 && errno != EINTR) return 1;
    if ((both[0].revents & POLLIN) != 0) (void)copy_once(keeper);
    if ((both[1].revents & POLLIN) != 0) {
      while (copy_once(keeper)) {
      }
      return 0;
    }
  }
}

}  // namespace steppe::supervise
