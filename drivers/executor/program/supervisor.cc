#include "drivers/executor/program/supervisor.h"

#include <linux/close_range.h>
#include <linux/mman.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/wait.h>

#include "drivers/executor/program/control.h"
#include "drivers/executor/program/log_file.h"
#include "drivers/executor/program/system.h"
#include "drivers/executor/protocol.h"
#include "drivers/isolate/child.h"
#include "init/frame/wire.h"

namespace steppe::executor {
namespace {

using isolate::Failure;
using isolate::KillMode;
using isolate::Mapped;
using isolate::PlanHead;

constexpr int kSigKill = 9, kSigChild = 17;
constexpr int64_t kSweepLimitNs = 5'000'000'000;
constexpr size_t kPumpBuffer = 16 * 1024;
constexpr int kMaxPumpTurns = 16;  // reads of one pipe before requests get their turn

struct KernelSiginfo {  // the waitid part of siginfo_t
  int signo, error, code, pad, pid, uid, status;
  char rest[100];
};
constexpr int kExited = 1;  // CLD_EXITED

struct Rusage {
  int64_t user[2], system[2];
  int64_t max_rss;
  int64_t rest[13];
};

// Everything that the running executor knows. Plain data in .bss: a few dirty pages is all the memory it has.
struct Supervisor {
  PlanHead plan;
  Control control;
  LogFile logs[2];
  int pipes[2] = {-1, -1};
  int signals = -1;
  int task_pidfd = -1;
  int task_pid = 0;
  bool main_ended = false, oom = false, left_running = false, kill_asked = false;
  int exit_code = 0, exit_signal = 0;
  Rusage usage = {};
  int64_t kill_at = 0;    // CLOCK_BOOTTIME; 0: no deadline
  int64_t give_up_at = 0; // while sweeping
};
Supervisor g;
char g_buffer[kPumpBuffer];

struct ChildArguments {
  Mapped plan;
  int stdio[3];
  Failure failure;
};

// Runs in the child, on its own stack but in our memory: what it stores in `failure` we read after it has gone.
int child_main(void* pointer_to_arguments) {
  auto* arguments = static_cast<ChildArguments*>(pointer_to_arguments);
  uint64_t none = 0;
  syscall(__NR_rt_sigprocmask, 2, pointer(&none), 0, sizeof none);
  for (int i = 0; i < 3; ++i) {
    // The sources are 3 and above, so no copy overwrites a later source; dup3 clears close-on-exec.
    long result = syscall(__NR_dup3, arguments->stdio[i], i, 0);
    if (result < 0) {
      arguments->failure = {static_cast<uint32_t>(i), 0, static_cast<int32_t>(-result)};
      return 127;
    }
  }
  // Whatever else is open ends at execve, also what was opened behind the plan's back.
  syscall(__NR_close_range, 3, ~0u, CLOSE_RANGE_CLOEXEC);
  arguments->failure = isolate::run_steps(arguments->plan, arguments->plan.head->steps, arguments->plan.head->step_count);
  return 127;
}

int fail(uint32_t list, Failure failure) {
  g.control.report_failure(list, failure.step, failure.op, failure.error);
  return 125;
}
int fail_self(uint32_t where, long result) { return fail(2, {where, 0, static_cast<int32_t>(-result)}); }

int parse_number(const char* text) {
  int value = 0;
  while (*text >= '0' && *text <= '9' && value < 1'000'000) value = value * 10 + (*text++ - '0');
  return value;
}

// Closes everything but the plan's descriptors (the plan's own file too: its mapping stays), and makes 0, 1 and 2 harmless so that no pipe gets their numbers.
void keep_only(const Mapped& plan) {
  auto* keep = reinterpret_cast<const int32_t*>(plan.base + plan.head->inherited);
  for (int i = 0; i < 3; ++i) syscall(__NR_dup3, plan.head->null_fd, i, 0);
  long from = 3;
  for (uint32_t i = 0; i < plan.head->inherited_count; ++i) {
    if (keep[i] > from) syscall(__NR_close_range, from, keep[i] - 1, 0);
    if (keep[i] >= from) from = keep[i] + 1;
  }
  syscall(__NR_close_range, from, ~0u, 0);
}

// The agent's ignored signals (SIGPIPE) would be inherited by the task.
void reset_signals() {
  struct {
    void* handler = nullptr;
    unsigned long flags = 0;
    void* restorer = nullptr;
    uint64_t mask = 0;
  } standard;
  for (int signal = 1; signal <= 64; ++signal) {
    if (signal != kSigKill && signal != 19) syscall(__NR_rt_sigaction, signal, pointer(&standard), 0, sizeof(uint64_t));
  }
  uint64_t all = ~0ull;
  syscall(__NR_rt_sigprocmask, 2, pointer(&all), 0, sizeof all);
}

long open_signals() {
  uint64_t mask = 1ull << (kSigChild - 1);
  return syscall(__NR_signalfd4, -1, pointer(&mask), sizeof mask, O_CLOEXEC | O_NONBLOCK);
}

long start_task(const Mapped& plan, ChildArguments& arguments) {
  constexpr size_t kStack = 32 * 1024;
  long stack = syscall(__NR_mmap, 0, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (stack < 0 && stack > -4096) return stack;
  int pidfd = -1;
  kernel::raw::CloneArgs clone;
  clone.flags = plan.head->clone_flags | CLONE_VM | CLONE_VFORK | CLONE_PIDFD | CLONE_CLEAR_SIGHAND;
  clone.pidfd = static_cast<uint64_t>(pointer(&pidfd));
  clone.exit_signal = kSigChild;
  clone.stack = static_cast<uint64_t>(stack);
  clone.stack_size = kStack;
  if (plan.head->cgroup_fd >= 0) {
    clone.flags |= CLONE_INTO_CGROUP;
    clone.cgroup = static_cast<uint64_t>(plan.head->cgroup_fd);
  }
  long pid = kernel::raw::clone3(&clone, child_main, &arguments);
  syscall(__NR_munmap, stack, kStack);
  g.task_pidfd = pidfd;
  return pid;
}

// The two capture pipes; the child's ends go into arguments.stdio.
long open_output(const Mapped& plan, ChildArguments& arguments) {
  const PlanHead& head = *plan.head;
  for (int i = 0; i < 3; ++i) arguments.stdio[i] = head.stdio_fd[i] >= 0 ? head.stdio_fd[i] : head.null_fd;
  if (head.log_dir_fd < 0) return 0;
  for (int i = 0; i < 2; ++i) {
    if (head.stdio_fd[i + 1] >= 0) continue;
    int ends[2];
    long result = syscall(__NR_pipe2, pointer(ends), O_CLOEXEC);
    if (result < 0) return result;
    // Only our end is non-blocking: the task expects an ordinary pipe.
    syscall(__NR_fcntl, ends[0], F_SETFL, O_NONBLOCK);
    g.pipes[i] = ends[0];
    arguments.stdio[i + 1] = ends[1];
    result = g.logs[i].open(head.log_dir_fd, plan.text(head.log_name[i]), head.log_index[i], head.log_max_files, head.log_max_size);
    if (result < 0) return result;
  }
  return 0;
}

void close_output(const ChildArguments& arguments) {
  for (int i = 0; i < 3; ++i) {
    if (arguments.stdio[i] != g.plan.null_fd && arguments.stdio[i] > 2) sys_close(arguments.stdio[i]);
  }
}

void pump(int which) {
  for (int turn = 0; turn < kMaxPumpTurns; ++turn) {
    long n = sys_read(g.pipes[which], g_buffer, sizeof g_buffer);
    if (n == -EINTR) continue;
    if (n == -EAGAIN) return;
    if (n <= 0) {
      sys_close(g.pipes[which]);
      g.pipes[which] = -1;
      return;
    }
    g.logs[which].write(g_buffer, static_cast<size_t>(n));
  }
}

bool contains(const char* text, size_t size, const char* word, size_t word_size, size_t& at) {
  for (size_t i = 0; i + word_size <= size; ++i) {
    size_t k = 0;
    while (k < word_size && text[i + k] == word[k]) ++k;
    if (k == word_size) {
      at = i + word_size;
      return true;
    }
  }
  return false;
}

// memory.events "oom_kill N" of the task's cgroup (Documentation/admin-guide/cgroup-v2.rst).
bool oom_in_cgroup() {
  if (g.plan.cgroup_fd < 0) return false;
  long fd = sys_openat(g.plan.cgroup_fd, "memory.events", O_RDONLY);
  if (fd < 0) return false;
  char text[512];
  long n = sys_read(static_cast<int>(fd), text, sizeof text - 1);
  sys_close(static_cast<int>(fd));
  if (n <= 0) return false;
  text[n] = '\0';
  size_t at = 0;
  return contains(text, static_cast<size_t>(n), "\noom_kill ", 10, at) && text[at] != '0';
}

// Reaps whatever has ended. False once there is no child at all.
bool reap() {
  for (;;) {
    KernelSiginfo info = {};
    Rusage usage = {};
    long result = syscall(__NR_waitid, P_ALL, 0, pointer(&info), WEXITED | WNOHANG, pointer(&usage));
    if (result == -EINTR) continue;
    if (result == -ECHILD) return false;
    if (result < 0 || info.pid == 0) return true;
    if (info.pid != g.task_pid) continue;
    g.main_ended = true;
    g.usage = usage;
    if (info.code == kExited) g.exit_code = info.status;
    else g.exit_signal = info.status;
  }
}

void kill_children() {
  long fd = sys_openat(AT_FDCWD, "/proc/thread-self/children", O_RDONLY);
  if (fd < 0) return;
  char text[1024];
  long n;
  int pid = 0;
  while ((n = sys_read(static_cast<int>(fd), text, sizeof text)) > 0) {
    for (long i = 0; i < n; ++i) {
      if (text[i] >= '0' && text[i] <= '9') {
        pid = pid * 10 + (text[i] - '0');
      } else if (pid > 0) {
        // Only we reap our children, so the number cannot have been given to another process.
        syscall(__NR_kill, pid, kSigKill);
        pid = 0;
      }
    }
  }
  sys_close(static_cast<int>(fd));
}

void kill_everything() {
  if (g.plan.kill_mode == KillMode::kCgroup && g.plan.cgroup_fd >= 0) {
    long fd = sys_openat(g.plan.cgroup_fd, "cgroup.kill", O_WRONLY);
    if (fd >= 0) {
      sys_write(static_cast<int>(fd), "1", 1);
      sys_close(static_cast<int>(fd));
    }
  }
  if (!g.main_ended) syscall(__NR_pidfd_send_signal, g.task_pidfd, kSigKill, 0, 0);
  if (g.plan.kill_mode == KillMode::kDescendants) {
    if (!g.main_ended) syscall(__NR_kill, -g.task_pid, kSigKill);
    // The orphans of each killed child become ours and turn up in the next pass.
    for (int pass = 0; pass < 64; ++pass) {
      kill_children();
      if (!reap()) return;
    }
  }
}

void write_record() {
  alignas(8) char buffer[kMaxRecord];
  frame::Writer record(std::as_writable_bytes(std::span(buffer)), 4, 1);
  record.add_integer(kExitCode, g.exit_code);
  record.add_integer(kExitSignal, g.exit_signal);
  record.add_integer(kOomKilled, g.oom ? 1 : 0);
  record.add_integer(kEndedAtNs, clock_ns(kRealtime));
  record.add_integer(kUserNs, g.usage.user[0] * 1'000'000'000 + g.usage.user[1] * 1000);
  record.add_integer(kSystemNs, g.usage.system[0] * 1'000'000'000 + g.usage.system[1] * 1000);
  record.add_integer(kMaxRssKib, g.usage.max_rss);
  record.add_integer(kLogBytesLost, static_cast<int64_t>(g.logs[0].lost() + g.logs[1].lost()));
  record.add_integer(kLeftRunning, g.left_running ? 1 : 0);
  std::span<const std::byte> bytes = record.finish();
  syscall(__NR_pwrite64, g.plan.record_fd, pointer(bytes.data()), static_cast<long>(bytes.size()), 0);
  if (g.plan.sync_record != 0) syscall(__NR_fdatasync, g.plan.record_fd);
  // An agent that waits need not wait for our own end too. One that has gone is no trouble: SIGPIPE is blocked.
  if (g.plan.ended_fd >= 0) sys_write(g.plan.ended_fd, "", 1);
}

// The requests of the agent, as control.cc hands them over.
long serve(const Request& request) {
  switch (request.verb) {
    case Verb::kStatus: return 0;
    case Verb::kSignal:
      if (g.main_ended) return -ESRCH;
      return syscall(__NR_pidfd_send_signal, g.task_pidfd, request.signal, 0, 0);
    case Verb::kStop: {
      if (g.main_ended) return 0;
      int64_t deadline = clock_ns(kBoottime) + request.grace_ms * 1'000'000;
      if (g.kill_at == 0 || deadline < g.kill_at) g.kill_at = deadline;
      long result = request.signal == 0 ? 0 : syscall(__NR_pidfd_send_signal, g.task_pidfd, request.signal, 0, 0);
      return result == -ESRCH ? 0 : result;
    }
    case Verb::kKill:
      g.kill_asked = true;
      kill_everything();
      return 0;
    case Verb::kLaunch: return -EEXIST;
  }
  return -ENOSYS;
}

int poll_timeout_ms(int64_t now) {
  int64_t at = g.main_ended ? g.give_up_at : g.kill_at;
  if (at == 0) return -1;
  int64_t ms = at <= now ? 0 : (at - now) / 1'000'000 + 1;
  return static_cast<int>(ms > 1'000'000 ? 1'000'000 : ms);
}

void turn(int timeout_ms) {
  PollFd fds[4 + Control::kMaxConnections];
  size_t n = 0;
  fds[n++] = {g.signals, kPollIn, 0};
  fds[n++] = {g.pipes[0], kPollIn, 0};
  fds[n++] = {g.pipes[1], kPollIn, 0};
  size_t first = n;
  n = g.control.add_to(fds, n);
  Timespec wait{timeout_ms / 1000, (timeout_ms % 1000) * 1'000'000L};
  syscall(__NR_ppoll, pointer(fds), static_cast<long>(n), timeout_ms < 0 ? 0 : pointer(&wait), 0, 0);
  if (fds[0].revents != 0) {
    char drain[128 * 4];
    sys_read(g.signals, drain, sizeof drain);
  }
  if (g.pipes[0] >= 0 && fds[1].revents != 0) pump(0);
  if (g.pipes[1] >= 0 && fds[2].revents != 0) pump(1);
  g.control.serve(fds + first, n - first, serve, State(g.main_ended ? State::kEnding : State::kRunning));
}

void run_until_ended() {
  for (;;) {
    bool children = reap();
    int64_t now = clock_ns(kBoottime);
    if (!g.main_ended && g.kill_at != 0 && now >= g.kill_at) {
      g.kill_at = 0;
      kill_everything();
      children = reap();
    }
    // A session whose agent is gone has nobody to talk to.
    if (g.plan.listen_fd < 0 && !g.main_ended && !g.control.connected() && !g.kill_asked) {
      g.kill_asked = true;
      kill_everything();
      children = reap();
    }
    if (g.main_ended) {
      if (g.give_up_at == 0) g.give_up_at = now + kSweepLimitNs;
      if (children) kill_everything();
      children = reap();
      if (!children && g.pipes[0] < 0 && g.pipes[1] < 0) return;
      // Nobody is left to write, so what is in the pipes is all there will be.
      if (!children) {
        for (int i = 0; i < 2; ++i) {
          while (g.pipes[i] >= 0 && readable(g.pipes[i])) pump(i);
        }
        return;
      }
      if (now >= g.give_up_at) {
        g.left_running = true;
        return;
      }
    }
    int timeout = poll_timeout_ms(now);
    // Killed processes of an uninterruptible sort come in their own time; look again without spinning.
    turn(g.main_ended && (timeout < 0 || timeout > 5) ? 5 : timeout);
  }
}

// Private and writable: argv's offsets become pointers in our copy. The mapping goes once the task runs.
bool map_plan(int fd, Mapped& plan) {
  long size = syscall(__NR_lseek, fd, 0, 2 /* SEEK_END */);
  if (size <= 0 || size > isolate::kMaxPlanSize) return false;
  long base = syscall(__NR_mmap, 0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
  if (base < 0 && base > -4096) return false;
  return isolate::check_plan(reinterpret_cast<char*>(base), static_cast<size_t>(size), plan) == 0;
}
void unmap_plan(const Mapped& plan) { syscall(__NR_munmap, pointer(plan.base), plan.head->size); }

// What `ps` shows: written over argv[0], which whoever spawned us has made long enough.
void retitle(char* name, const char* title) {
  size_t i = 0;
  for (; name[i] != '\0' && title[i] != '\0'; ++i) name[i] = title[i];
  for (; name[i] != '\0'; ++i) name[i] = '\0';
}

// The prelude is done and the task is not known yet: waits for its plan. False when the agent has gone, or sent anything
// else; nothing has been started then.
bool await_plan(Mapped& plan, char* name) {
  int null = g.plan.null_fd, control = g.plan.control_fd;
  auto* kept = reinterpret_cast<const int32_t*>(plan.base + plan.head->inherited);
  for (uint32_t i = 0; i < plan.head->inherited_count; ++i) {
    if (kept[i] != null && kept[i] != control) sys_close(kept[i]);
  }
  unmap_plan(plan);
  int descriptors[kMaxDescriptors];
  long count = receive_launch(control, descriptors);
  if (count < 1 || !map_plan(descriptors[0], plan)) return false;
  sys_close(descriptors[0]);
  if (plan.head->standby != 0 || !isolate::renumber(plan, descriptors + 1, static_cast<uint32_t>(count - 1))) return false;
  auto* head = reinterpret_cast<PlanHead*>(plan.base);
  head->null_fd = null;
  head->control_fd = control;
  g.plan = *head;
  g.control.begin(control, head->listen_fd);
  if (head->title != 0) retitle(name, plan.text(head->title));
  return true;
}

}  // namespace

int supervise(int argc, char** argv) {
  if (argc != 2) return 124;
  Mapped plan;
  if (!map_plan(parse_number(argv[1]), plan)) return 124;
  g.plan = *plan.head;
  g.control.begin(g.plan.control_fd, g.plan.listen_fd);
  keep_only(plan);
  reset_signals();
  syscall(__NR_prctl, PR_SET_NAME, pointer("steppe-executor"));
  syscall(__NR_prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  syscall(__NR_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
  long result = open_signals();
  if (result < 0) return fail_self(1, result);
  g.signals = static_cast<int>(result);
  Failure failure = isolate::run_steps(plan, plan.head->prelude, plan.head->prelude_count);
  if (failure.error != 0) return fail(0, failure);
  if (g.plan.standby != 0) {
    if (!await_plan(plan, argv[0])) return 124;
    failure = isolate::run_steps(plan, plan.head->prelude, plan.head->prelude_count);
    if (failure.error != 0) return fail(0, failure);
  }
  ChildArguments arguments = {plan, {-1, -1, -1}, {}};
  result = open_output(plan, arguments);
  if (result < 0) return fail_self(2, result);
  result = start_task(plan, arguments);
  if (result < 0) return fail_self(3, result);
  g.task_pid = static_cast<int>(result);
  if (arguments.failure.error != 0) {
    reap();
    return fail(1, arguments.failure);
  }
  close_output(arguments);
  unmap_plan(plan);
  g.control.report_started(g.task_pid, g.task_pidfd);
  run_until_ended();
  for (LogFile& log : g.logs) log.close();
  g.oom = oom_in_cgroup();
  write_record();
  return 0;
}

}  // namespace steppe::executor
