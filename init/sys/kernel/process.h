#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "init/base/clock.h"
#include "init/base/result.h"
#include "init/sys/kernel/fd.h"

namespace steppe::kernel {

struct WaitStatus {
  int code = 0, signal = 0;
};

// A process that cannot be mistaken for another one: a pidfd. Readable (poll) once the process has ended.
class Process {
 public:
  Process() = default;
  explicit Process(Fd pidfd, int pid = 0) : fd_(std::move(pidfd)), pid_(pid) {}
  static Result<Process> open(int pid);

  int fd() const { return fd_.get(); }
  int pid() const { return pid_; }
  bool valid() const { return fd_.valid(); }

  Result<> signal(int number) const;  // kNotFound once it has been reaped
  Result<bool> ended() const;         // without waiting
  // Reaps a child of ours. kNotFound when it is not our child (after a restart of the agent).
  Result<WaitStatus> reap() const;
  // Waits for the end at most `limit`; false: still there.
  Result<bool> wait(Duration limit) const;

 private:
  Fd fd_;
  int pid_ = 0;
};

struct SpawnRequest {
  int program = -1;                    // what is executed (execveat of the descriptor)
  std::vector<std::string> argv;
  std::vector<std::string> env;
  std::span<const int> inherited;      // close-on-exec is lifted from these, in the child only
};

// clone3(CLONE_VM|CLONE_VFORK|CLONE_PIDFD|CLONE_CLEAR_SIGHAND) and execveat in a session of its own: the cost does not
// grow with the caller's memory, and nothing but execveat runs in the child. The child inherits what lacks
// close-on-exec. Safe from any thread; signals are blocked for the moment of it.
Result<Process> spawn(const SpawnRequest& request);

// Anonymous memory that grows as it is written, and is gone with its last descriptor.
Result<Fd> memory_file(const char* name);

// Anonymous memory with `content` that nobody can change any more.
enum class Executable : uint8_t { kNo, kYes };
Result<Fd> sealed_memfd(const char* name, std::span<const std::byte> content, Executable executable);

}  // namespace steppe::kernel
