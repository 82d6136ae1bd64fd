#include "init/sys/kernel/process.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <format>

#include "init/base/assert.h"
#include "init/sys/kernel/beneath.h"
#include "init/sys/kernel/raw.h"

namespace steppe::kernel {
namespace {

constexpr size_t kSpawnStack = 64 * 1024;

struct SpawnArguments {
  int program;
  char** argv;
  char** env;
  const int* inherited;
  size_t inherited_count;
  int error;
};

// In the child, sharing the caller's memory: system calls only, nothing that keeps state in it.
__attribute__((no_sanitize("address", "undefined"))) int spawn_child(void* pointer_to_arguments) {
  auto* arguments = static_cast<SpawnArguments*>(pointer_to_arguments);
  raw::syscall(SYS_setsid);
  long result = 0;
  for (size_t i = 0; i < arguments->inherited_count && result >= 0; ++i) {
    result = raw::syscall(SYS_fcntl, arguments->inherited[i], F_SETFD, 0);
  }
  if (result >= 0) {
    result = raw::syscall(SYS_execveat, arguments->program, raw::pointer(""), raw::pointer(arguments->argv),
                          raw::pointer(arguments->env), AT_EMPTY_PATH);
  }
  arguments->error = static_cast<int>(-result);
  return 127;
}

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> out;
  out.reserve(texts.size() + 1);
  for (const std::string& text : texts) out.push_back(const_cast<char*>(text.c_str()));
  out.push_back(nullptr);
  return out;
}

}  // namespace

Result<Process> Process::open(int pid) {
  int fd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  if (fd < 0) {
    if (errno == ESRCH) return {Code::kNotFound, std::format("process {} has ended", pid)};
    return Error::from_errno(errno, std::format("open process {}", pid));
  }
  return Process(Fd(fd), pid);
}

Result<> Process::signal(int number) const {
  if (::syscall(SYS_pidfd_send_signal, fd_.get(), number, nullptr, 0) == 0) return {};
  if (errno == ESRCH) return {Code::kNotFound, std::format("process {} has ended", pid_)};
  return Error::from_errno(errno, std::format("send signal {} to process {}", number, pid_));
}

Result<bool> Process::wait(Duration limit) const {
  pollfd one = {fd_.get(), POLLIN, 0};
  timespec time = {static_cast<time_t>(limit.count() / 1'000'000'000), static_cast<long>(limit.count() % 1'000'000'000)};
  for (;;) {
    int n = ::ppoll(&one, 1, &time, nullptr);
    if (n >= 0) return n > 0;
    if (errno != EINTR) return Error::from_errno(errno, std::format("wait for process {}", pid_));
  }
}

Result<bool> Process::ended() const { return wait(Duration(0)); }

Result<WaitStatus> Process::reap() const {
  siginfo_t info = {};
  int result;
  do {
    result = ::waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(fd_.get()), &info, WEXITED | WNOHANG);
  } while (result != 0 && errno == EINTR);
  if (result != 0) {
    if (errno == ECHILD) return {Code::kNotFound, std::format("process {} is not a child of ours", pid_)};
    return Error::from_errno(errno, std::format("reap process {}", pid_));
  }
  if (info.si_pid == 0) return {Code::kUnavailable, std::format("process {} still runs", pid_)};
  return info.si_code == CLD_EXITED ? WaitStatus{info.si_status, 0} : WaitStatus{0, info.si_status};
}

Result<Process> spawn(const SpawnRequest& request) {
  std::vector<char*> argv = pointers(request.argv);
  std::vector<char*> env = pointers(request.env);
  SpawnArguments arguments = {request.program, argv.data(), env.data(), request.inherited.data(), request.inherited.size(), 0};
  void* stack = ::mmap(nullptr, kSpawnStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (stack == MAP_FAILED) return Error::from_errno(errno, "map a stack for a child");
  int pidfd = -1;
  raw::CloneArgs clone;
  clone.flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | CLONE_CLEAR_SIGHAND;
  clone.pidfd = reinterpret_cast<uint64_t>(&pidfd);
  clone.exit_signal = SIGCHLD;
  clone.stack = reinterpret_cast<uint64_t>(stack);
  clone.stack_size = kSpawnStack;
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  long pid = raw::clone3(&clone, spawn_child, &arguments);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ::munmap(stack, kSpawnStack);
  if (pid < 0) return Error::from_errno(static_cast<int>(-pid), "clone a child");
  Process child(Fd(pidfd), static_cast<int>(pid));
  if (arguments.error != 0) {
    (void)child.reap();
    return Error::from_errno(arguments.error, "execute the program");
  }
  return child;
}

namespace {

Result<Fd> make_memory(const char* name, Executable executable) {
  unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  unsigned kind = executable == Executable::kYes ? 0x10u /* MFD_EXEC */ : 0x8u /* MFD_NOEXEC_SEAL */;
  int number = ::memfd_create(name, flags | kind);
  if (number < 0 && errno == EINVAL) number = ::memfd_create(name, flags);  // before Linux 6.3
  if (number < 0) return Error::from_errno(errno, std::format("make memory file {}", name));
  return Fd(number);
}

}  // namespace

Result<Fd> memory_file(const char* name) { return make_memory(name, Executable::kNo); }

Result<Fd> sealed_memfd(const char* name, std::span<const std::byte> content, Executable executable) {
  STEPPE_TRY(Fd fd, make_memory(name, executable));
  STEPPE_TRY_VOID(write_all(fd, name, content));
  if (::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) != 0) {
    return Error::from_errno(errno, std::format("seal memory file {}", name));
  }
  return fd;
}

}  // namespace steppe::kernel
