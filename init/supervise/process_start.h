#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "init/base/result.h"
#include "init/sys/kernel/fd.h"

namespace steppe::supervise {

// One child of PID 1, as it shall begin. Nothing of PID 1's own state reaches it: signal mask and dispositions, limits, OOM score,
// umask, directory, session and descriptors are all set.
struct ProcessStart {
  int program = -1;                 // executed by its descriptor when >= 0, else by argv[0]
  std::vector<std::string> argv;
  std::vector<std::string> env;
  int cgroup = -1;                  // born in it (CLONE_INTO_CGROUP); -1: the caller's
  int standard_output = -1;         // and standard error; -1: /dev/null
  int kernel_log = -1;              // where a failed execve is told
  int oom_score_adj = 0;
  uint64_t open_files = 1'048'576;  // RLIMIT_NOFILE, hard; the soft one is 1,024 as select(2) wants
  uint64_t core_bytes = 0;          // RLIMIT_CORE
  std::span<const int> keep;        // its descriptors 3, 4, ...; LISTEN_PID and LISTEN_FDS say so
};

struct Started {
  pid_t pid = 0;
  kernel::Fd pidfd;
};

// clone3, then the steps above, then execve, without waiting for any of it: a program that cannot be executed is a child that
// exits with 127 and has said why in the kernel's log. Between clone3 and execve only system calls run.
Result<Started> start_process(const ProcessStart& start);

// How a process ended, for people: "exited with 1", "killed by signal 9".
std::string ending_text(int code, int signal);

}  // namespace steppe::supervise
