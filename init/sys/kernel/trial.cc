#include "init/sys/kernel/trial.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace steppe::kernel {

Result<Trial> try_in_child(const std::function<bool()>& work, Duration limit) {
  pid_t pid = ::fork();
  if (pid < 0) return Error::from_errno(errno, "fork");
  if (pid == 0) {
    // A crash is an answer here, not something to dump or to report.
    rlimit none{0, 0};
    ::setrlimit(RLIMIT_CORE, &none);
    for (int signal : {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGALRM}) ::signal(signal, SIG_DFL);
    int silent = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (silent >= 0) ::dup2(silent, STDERR_FILENO);
    int64_t seconds = (limit.count() + 999'999'999) / 1'000'000'000;
    ::alarm(static_cast<unsigned>(seconds));
    ::_exit(work() ? 0 : 1);
  }
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) return Error::from_errno(errno, "wait for a trial");
  }
  if (!WIFEXITED(status)) return Trial::kCrashed;
  return WEXITSTATUS(status) == 0 ? Trial::kPassed : WEXITSTATUS(status) == 1 ? Trial::kFailed : Trial::kCrashed;
}

}  // namespace steppe::kernel
