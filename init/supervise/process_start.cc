#include "init/supervise/process_start.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "init/sys/kernel/raw.h"

namespace steppe::supervise {
namespace {

using kernel::raw::pointer;
using kernel::raw::syscall;

constexpr int kFirstKept = 3;
constexpr size_t kMaxKept = 32;

// All that the child needs, made before it exists.
struct Prepared {
  int program, standard_output, null, kernel_log;
  char** argv;
  char** env;
  const char* name;
  char oom[16];
  size_t oom_size;
  char* listen_pid;  // where its number goes, or null
  rlimit files, core;
  size_t kept;
  int keep[kMaxKept];
};

// No libc from here to execve: its state belongs to PID 1.
[[noreturn]] void leave(const Prepared& p, const char* step, long error) {
  char text[192];
  size_t used = 0;
  auto add = [&](const char* part) {
    for (; *part != 0 && used < sizeof text - 1; ++part) text[used++] = *part;
  };
  add("<3>steppe: start ");
  add(p.name);
  add(": ");
  add(step);
  add(": errno ");
  char digits[8];
  size_t count = 0;
  for (long rest = -error; rest > 0 && count < sizeof digits; rest /= 10) digits[count++] = static_cast<char>('0' + rest % 10);
  while (count > 0 && used < sizeof text - 1) text[used++] = digits[--count];
  text[used++] = '\n';
  syscall(SYS_write, p.kernel_log, pointer(text), static_cast<long>(used));
  while (true) syscall(SYS_exit_group, 127);
}

void reset_signals() {
  // struct kernel_sigaction; all zero is SIG_DFL with no flags. An ignored signal would stay ignored over execve.
  struct {
    unsigned long handler, flags, restorer, mask;
  } action = {};
  for (int signal = 1; signal <= 64; ++signal) syscall(SYS_rt_sigaction, signal, pointer(&action), 0, 8);
  unsigned long none = 0;
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, pointer(&none), 0, 8);
}

void put_pid(char* into) {
  long pid = syscall(SYS_getpid);
  char digits[12];
  int count = 0;
  for (; pid > 0; pid /= 10) digits[count++] = static_cast<char>('0' + pid % 10);
  while (count > 0) *into++ = digits[--count];
  *into = 0;
}

void place_descriptors(const Prepared& p) {
  // First out of the way of where they go, then there.
  int high[kMaxKept];
  for (size_t i = 0; i < p.kept; ++i) high[i] = static_cast<int>(syscall(SYS_fcntl, p.keep[i], F_DUPFD_CLOEXEC, kFirstKept + static_cast<int>(kMaxKept) + 8));
  int program = p.program, log = static_cast<int>(syscall(SYS_fcntl, p.kernel_log, F_DUPFD_CLOEXEC, 128));
  if (program >= 0) program = static_cast<int>(syscall(SYS_fcntl, program, F_DUPFD_CLOEXEC, 128));
  int out = static_cast<int>(syscall(SYS_fcntl, p.standard_output, F_DUPFD_CLOEXEC, 128));
  int null = static_cast<int>(syscall(SYS_fcntl, p.null, F_DUPFD_CLOEXEC, 128));
  syscall(SYS_dup3, null, 0, 0);
  syscall(SYS_dup3, out, 1, 0);
  syscall(SYS_dup3, out, 2, 0);
  for (size_t i = 0; i < p.kept; ++i) syscall(SYS_dup3, high[i], kFirstKept + static_cast<long>(i), 0);
  syscall(SYS_close_range, kFirstKept + static_cast<long>(p.kept), ~0u, CLOSE_RANGE_CLOEXEC);
  Prepared moved = p;
  moved.kernel_log = log;
  long result = program >= 0 ? syscall(SYS_execveat, program, pointer(""), pointer(p.argv), pointer(p.env), AT_EMPTY_PATH)
                             : syscall(SYS_execve, pointer(p.argv[0]), pointer(p.argv), pointer(p.env));
  leave(moved, "execute", result);
}

[[noreturn]] void child(const Prepared& p) {
  syscall(SYS_setsid);
  reset_signals();
  syscall(SYS_umask, 022);
  if (long result = syscall(SYS_chdir, pointer("/")); result < 0) leave(p, "enter /", result);
  long oom = syscall(SYS_openat, AT_FDCWD, pointer("/proc/self/oom_score_adj"), O_WRONLY | O_CLOEXEC);
  if (oom >= 0) syscall(SYS_write, oom, pointer(p.oom), static_cast<long>(p.oom_size));
  syscall(SYS_prlimit64, 0, RLIMIT_CORE, pointer(&p.core), 0);
  if (syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, pointer(&p.files), 0) < 0) {
    // More than we may give (only outside a machine of ours): what there is.
    rlimit have = {};
    syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, pointer(&have));
    have.rlim_cur = std::min(p.files.rlim_cur, have.rlim_max);
    syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, pointer(&have), 0);
  }
  if (p.listen_pid != nullptr) put_pid(p.listen_pid);
  place_descriptors(p);
  while (true) syscall(SYS_exit_group, 127);
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (std::string& text : texts) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

}  // namespace

Result<Started> start_process(const ProcessStart& start) {
  if (start.argv.empty()) return {Code::kInvalid, "start a process: no program is named"};
  if (start.keep.size() > kMaxKept) return {Code::kExhausted, "start " + start.argv[0] + ": more than 32 descriptors to hand over"};
  std::vector<std::string> arguments = start.argv, environment = start.env;
  if (!start.keep.empty()) {
    environment.push_back("LISTEN_FDS=" + std::to_string(start.keep.size()));
    environment.push_back("LISTEN_PID=0000000000000");
  }
  std::vector<char*> argv = pointers(arguments), env = pointers(environment);
  kernel::Fd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null.valid()) return Error::from_errno(errno, "open /dev/null");
  Prepared prepared = {};
  prepared.program = start.program;
  prepared.null = null.get();
  prepared.standard_output = start.standard_output >= 0 ? start.standard_output : null.get();
  prepared.kernel_log = start.kernel_log >= 0 ? start.kernel_log : null.get();
  prepared.argv = argv.data();
  prepared.env = env.data();
  prepared.name = arguments[0].c_str();
  prepared.oom_size = static_cast<size_t>(std::snprintf(prepared.oom, sizeof prepared.oom, "%d", start.oom_score_adj));
  if (!start.keep.empty()) prepared.listen_pid = environment.back().data() + std::strlen("LISTEN_PID=");
  prepared.files = {std::min<uint64_t>(1'024, start.open_files), start.open_files};
  prepared.core = {start.core_bytes, start.core_bytes};
  prepared.kept = start.keep.size();
  for (size_t i = 0; i < start.keep.size(); ++i) prepared.keep[i] = start.keep[i];

  int pidfd = -1;
  kernel::raw::CloneArgs clone;
  clone.flags = CLONE_PIDFD | (start.cgroup >= 0 ? CLONE_INTO_CGROUP : 0);
  clone.pidfd = reinterpret_cast<uint64_t>(&pidfd);
  clone.exit_signal = SIGCHLD;
  if (start.cgroup >= 0) clone.cgroup = static_cast<uint64_t>(start.cgroup);
  long pid = syscall(SYS_clone3, pointer(&clone), sizeof clone);
  if (pid == 0) child(prepared);
  if (pid < 0) return Error::from_errno(static_cast<int>(-pid), "start " + start.argv[0]);
  return Started{static_cast<pid_t>(pid), kernel::Fd(pidfd)};
}

std::string ending_text(int code, int signal) {
  return signal != 0 ? "killed by signal " + std::to_string(signal) : "exited with " + std::to_string(code);
}

}  // namespace steppe::supervise
