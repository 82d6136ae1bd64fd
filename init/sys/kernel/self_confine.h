#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "init/base/result.h"

namespace steppe::kernel {

// What a process that reads hostile input gives up, for good, before it reads it. Called while it has one thread.
struct Confinement {
  // Directories and files it may read, and directories it may change. With Landlock everything else is out of reach.
  std::vector<std::string> readable;
  std::vector<int> writable;  // directory descriptors
  uint64_t max_file_size = 0;       // RLIMIT_FSIZE; 0: as it is
  uint64_t max_open_files = 256;    // RLIMIT_NOFILE
  uint64_t max_cpu_seconds = 0;     // RLIMIT_CPU; 0: as it is
};

// no_new_privs, every capability dropped, Landlock where the kernel has it, and a seccomp filter under which exec, ptrace,
// mounting, namespaces, modules, bpf, io_uring and the like answer EPERM. Says what this kernel could not do.
struct Confined {
  bool landlock = false;
};
Result<Confined> confine_self(const Confinement& wanted);

}  // namespace steppe::kernel
