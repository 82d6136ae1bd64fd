// /usr/bin/steppe of the root images that tests/vm makes: PID 1 runs it as the agent. Which scenario it plays stands in a file
// of that root. See tests/vm/machine.sh.
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include "tests/vm/probe/extensions.h"
#include "tests/vm/probe/inside.h"
#include "tests/vm/probe/kept.h"
#include "tests/vm/probe/report.h"
#include "tests/vm/probe/stuck.h"

namespace steppe::vm {
namespace {

constexpr int kCrashes = 100;
constexpr int kOrphans = 10'000;

[[noreturn]] void become_agent(char** argv) {
  ::execv("/usr/bin/steppe-agent", argv);
  bad("the agent", std::strerror(errno));
  ::_exit(1);
}

// In the agent's place: ready, then there until it is told to go.
[[noreturn]] void play_agent() {
  notify("READY=1");
  while (true) ::pause();
}

// Runs beside the agent, in its cgroup.
void beside(void (*work)(int agent)) {
  int agent = ::getpid();
  if (::fork() != 0) return;
  ::setsid();
  work(agent);
  ::_exit(0);
}

void boot(char** argv, bool stray) {
  if (stray && ::fork() == 0) {
    while (true) ::pause();
  }
  beside([](int agent) {
    await_log("agent is ready");
    if (::fork() == 0) {
      ::execl("/proc/1/exe", "steppe-init", "-q", "--", "softdog", nullptr);
      ::_exit(1);
    }
    int status;
    ::wait(&status);
    expect(status == 0, "a module by name", std::to_string(status));
    check_inside(agent);
    done();
    ::kill(1, SIGTERM);
  });
  become_agent(argv);
}

// How often this was started, counted on the tmpfs.
int starts() {
  int n = std::atoi(read_file("/run/vm-starts").c_str()) + 1;
  write_file("/run/vm-starts", std::to_string(n) + "\n");
  return n;
}

void agent_killed(char** argv, bool loses_task) {
  int n = starts();
  if (n == 1) {
    int task = ::fork();
    if (task == 0) {
      while (true) ::pause();
    }
    write_file("/run/vm-task", std::to_string(task) + "\n");
  }
  int task = std::atoi(read_file("/run/vm-task").c_str());
  if (loses_task && n == 50) ::kill(task, SIGKILL);
  if (n <= kCrashes) {
    // Before and after it is ready, by itself and by others.
    if (n % 2 == 0) notify("READY=1");
    switch (n % 3) {
      case 0: ::_exit(1);
      case 1: ::signal(SIGSEGV, SIG_DFL), ::raise(SIGSEGV); break;
      default: ::raise(SIGKILL);
    }
  }
  static int the_task = task;
  static int ready_before = count_in_log("agent is ready");
  beside([](int) {
    await_log("start " + std::to_string(kCrashes + 1) + " in 10000 ms");
    while (count_in_log("agent is ready") == ready_before) pause_ms(1'000);
    expect(count_in_log("agent killed by signal") + count_in_log("agent exited with") == kCrashes, "a hundred crashes are counted", "");
    check_idle();
    expect(::kill(the_task, 0) == 0, "what a dead agent left goes on", std::strerror(errno));
    done();
    ::kill(1, SIGTERM);
  });
  become_agent(argv);
}

void stuck(bool really) {
  if (really) {
    leave_ignorer();
    leave_undying();
  }
  beside([](int) {
    await_log("agent is ready");
    done();
    ::kill(1, SIGINT);
  });
  play_agent();
}

// Holds PID 1's loop still; its other threads go on.
void hold_pid_one() {
  bool held = ::ptrace(PTRACE_SEIZE, 1, 0, 0) == 0 && ::ptrace(PTRACE_INTERRUPT, 1, 0, 0) == 0 && ::waitpid(1, nullptr, __WALL) == 1;
  expect(held, "PID 1's loop stands still", std::strerror(errno));
  done();
  while (true) ::pause();
}

void forced_end(bool hold) {
  static bool holds = hold;
  beside([](int) {
    await_log("agent is ready");
    if (holds) ::signal(SIGTERM, SIG_IGN);
    ::kill(1, SIGINT);
    await_log("rebooting: ");
    if (holds) hold_pid_one();
    done();
  });
  ::signal(SIGTERM, SIG_IGN);
  play_agent();
}

void watchdog(bool hold) {
  static bool holds = hold;
  beside([](int) {
    await_log("watchdog i6300");
    if (holds) hold_pid_one();
    done();
    pause_ms(600'000);
    ::kill(1, SIGTERM);
  });
  play_agent();
}

void orphans(bool kept) {
  static bool keeps = kept;
  beside([](int) {
    await_log("agent is ready");
    if (keeps) ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    int all_gone[2];
    (void)!::pipe(all_gone);
    for (int batch = 0; batch < kOrphans / 100; ++batch) {
      int parent = ::fork();
      if (parent == 0) {
        for (int i = 0; i < 100; ++i) {
          if (::fork() == 0) {
            ::close(all_gone[0]);
            if (i % 10 == 0) pause_ms(1);  // some outlive their parent, some do not
            ::_exit(i % 7);
          }
        }
        ::_exit(0);
      }
      if (!keeps) ::waitpid(parent, nullptr, 0);
    }
    ::close(all_gone[1]);
    char one;
    (void)!::read(all_gone[0], &one, 1);  // the last of them has ended
    pause_ms(2'000);
    int left = 0;
    DIR* proc = ::opendir("/proc");
    while (dirent* entry = ::readdir(proc)) {
      if (entry->d_name[0] < '1' || entry->d_name[0] > '9') continue;
      if (read_file(std::string("/proc/") + entry->d_name + "/stat").find(") Z ") != std::string::npos) ++left;
    }
    expect(left == 0, "ten thousand orphans are reaped", std::to_string(left) + " zombies");
    done();
    ::kill(1, SIGTERM);
  });
  play_agent();
}

// A machine that got its configuration over TLS, or was told to do without.
void told_late() {
  beside([](int) {
    await_log("agent is ready");
    const std::string name = read_file("/proc/sys/kernel/hostname");
    expect(name == "vm-7\n", "the host name of the document", name);
    done();
    ::kill(1, SIGTERM);
  });
  play_agent();
}

void clock_is_set() {
  beside([](int) {
    await_log("agent is ready");
    constexpr time_t kServer = 1'927'670'400;  // the first of February 2031, tests/vm/machine.sh
    for (int i = 0; i < 900 && ::time(nullptr) < kServer; ++i) pause_ms(100);
    expect(::time(nullptr) >= kServer, "the clock of the server", std::to_string(::time(nullptr)) + "\n" + read_file("/var/log/steppe/services.log"));
    done();
    ::kill(1, SIGTERM);
  });
  play_agent();
}

void network() {
  beside([](int) {
    await_log("agent is ready");
    check_network();
    done();
    ::kill(1, SIGTERM);
  });
  play_agent();
}

void storage() {
  beside([](int) {
    await_log("agent is ready");
    check_storage(read_file("/usr/share/steppe-vm"));
    done();
    ::kill(1, SIGINT);
  });
  play_agent();
}

void extensions(const std::string& name) {
  static std::string variant = name;
  beside([](int) {
    await_log("agent is ready");
    if (variant.starts_with("extension-refused")) check_refused_extensions();
    else check_extensions(variant == "extension");
    done();
    ::kill(1, SIGTERM);
  });
  play_agent();
}

int play(char** argv) {
  std::string name = read_file("/usr/share/steppe-vm");
  // What steppe-node runs of the agent's program.
  const std::string_view word = argv[1] != nullptr ? argv[1] : "";
  if (word == "maintenance" || word == "config" || word == "fetch-document") become_agent(argv);
  if (name.starts_with("maintenance") || name.starts_with("broken-config")) told_late();
  if (name.starts_with("clock")) clock_is_set();
  if (name == "boot") boot(argv, false);
  if (name == "boot-stray") boot(argv, true);
  if (name == "agent-killed") agent_killed(argv, false);
  if (name == "agent-killed-task-lost") agent_killed(argv, true);
  if (name == "stuck-task") stuck(true);
  if (name == "stuck-task-none") stuck(false);
  if (name == "forced-end") forced_end(true);
  if (name == "forced-end-free") forced_end(false);
  if (name == "watchdog") watchdog(true);
  if (name == "watchdog-free") watchdog(false);
  if (name.starts_with("network")) network();
  if (name.starts_with("storage") || name.starts_with("state-")) storage();
  if (name.starts_with("extension")) extensions(name);
  if (name == "orphans") orphans(false);
  if (name == "orphans-kept") orphans(true);
  if (name == "never-ready") while (true) ::pause();
  if (name == "never-ready-late") {
    // Just within the grace, but for the start limit: the third start says it.
    if (starts() == 3) notify("READY=1");
    beside([](int) {
      pause_ms(1'200'000);
      ::kill(1, SIGTERM);
    });
    while (true) ::pause();
  }
  bad("scenario", name);
  return 1;
}

}  // namespace
}  // namespace steppe::vm

int main(int, char** argv) { return steppe::vm::play(argv); }
