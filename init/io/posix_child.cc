#include "init/io/posix_child.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>

namespace steppe::io {
namespace {

class PosixChild final : public Child {
 public:
  PosixChild(Loop& loop, pid_t pid, int pidfd) : loop_(loop), pid_(pid), pidfd_(pidfd) {}

  ~PosixChild() override {
    if (!reaped_) {
      kill(pid_, SIGKILL);
      int status;
      while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {}
    }
    close(pidfd_);
  }

  int pid() const override { return pid_; }

  Result<> signal(int number) override {
    if (reaped_) return Error(Code::kNotFound, "the child has ended");
    if (syscall(SYS_pidfd_send_signal, pidfd_, number, nullptr, 0) != 0) return Error::from_errno(errno, "pidfd_send_signal");
    return {};
  }

  Task<Result<ExitStatus>> wait(Deadline deadline) override {
    STEPPE_CO_TRY_VOID(co_await wait_ready(loop_, pidfd_, Readiness::kReadable, deadline));
    int status = 0;
    pid_t reaped;
    do reaped = waitpid(pid_, &status, WNOHANG);
    while (reaped < 0 && errno == EINTR);
    if (reaped != pid_) co_return Error::from_errno(reaped < 0 ? errno : ECHILD, "waitpid");
    reaped_ = true;
    ExitStatus exit;
    if (WIFSIGNALED(status)) exit.signal = WTERMSIG(status);
    else exit.code = WEXITSTATUS(status);
    co_return exit;
  }

 private:
  Loop& loop_;
  const pid_t pid_;
  const int pidfd_;
  bool reaped_ = false;
};

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (std::string& text : texts) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

class PosixProcesses final : public Processes {
 public:
  explicit PosixProcesses(Loop& loop) : loop_(loop) {}

  Result<std::unique_ptr<Child>> spawn(const SpawnOptions& options) override {
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    // Targets above every source first, so that no dup2 overwrites a source that is still needed.
    int above = 3;
    for (const auto& [from, to] : options.descriptors) above = std::max({above, from + 1, to + 1});
    int step = above;
    for (const auto& [from, to] : options.descriptors) posix_spawn_file_actions_adddup2(&actions, from, step++);
    step = above;
    for (const auto& [from, to] : options.descriptors) posix_spawn_file_actions_adddup2(&actions, step++, to);
    int keep = 2;
    for (const auto& [from, to] : options.descriptors) keep = std::max(keep, to);
    posix_spawn_file_actions_addclosefrom_np(&actions, keep + 1);
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);

    std::vector<std::string> arguments{options.program};
    arguments.insert(arguments.end(), options.arguments.begin(), options.arguments.end());
    std::vector<std::string> environment = options.environment;
    std::vector<char*> argv = pointers(arguments), envp = pointers(environment);
    pid_t pid = 0;
    const int number = posix_spawn(&pid, options.program.c_str(), &actions, &attributes, argv.data(), envp.data());
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (number != 0) return Error::from_errno(number, "run " + options.program);
    const int pidfd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
    if (pidfd < 0) {
      const int failure = errno;
      kill(pid, SIGKILL);
      waitpid(pid, nullptr, 0);
      return Error::from_errno(failure, "pidfd_open");
    }
    return std::unique_ptr<Child>(std::make_unique<PosixChild>(loop_, pid, pidfd));
  }

 private:
  Loop& loop_;
};

}  // namespace

std::unique_ptr<Processes> make_posix_processes(Loop& loop) { return std::make_unique<PosixProcesses>(loop); }

}  // namespace steppe::io
