#include "agent/main/signals.h"

#include <pthread.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace steppe::agent {

Result<std::unique_ptr<Signals>> Signals::block(const std::vector<int>& numbers) {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : numbers) sigaddset(&set, number);
  if (const int number = pthread_sigmask(SIG_BLOCK, &set, nullptr); number != 0) return Error::from_errno(number, "pthread_sigmask");
  const int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (fd < 0) return Error::from_errno(errno, "signalfd");
  return std::unique_ptr<Signals>(new Signals(fd));
}

Signals::~Signals() { close(fd_); }

io::Task<Result<int>> Signals::next(io::Loop& loop, io::Deadline deadline) {
  while (true) {
    signalfd_siginfo info{};
    const ssize_t count = read(fd_, &info, sizeof info);
    if (count == sizeof info) co_return static_cast<int>(info.ssi_signo);
    if (count < 0 && errno != EAGAIN && errno != EINTR) co_return Error::from_errno(errno, "read signalfd");
    STEPPE_CO_TRY_VOID(co_await io::wait_ready(loop, fd_, io::Readiness::kReadable, deadline));
  }
}

}  // namespace steppe::agent
