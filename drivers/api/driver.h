#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "drivers/api/config_value.h"
#include "drivers/api/task_handle.h"
#include "init/base/bytes.h"
#include "init/base/clock.h"
#include "init/base/result.h"
#include "init/sys/kernel/fd.h"

// The contract between the client and what runs tasks.
//
// Threads: a Driver may be called from several pool threads at once, for different tasks. A Task belongs to one owner;
// its calls are made one at a time, from any thread. Calls marked (blocks) make system calls that may take
// milliseconds and belong on the pool; the others return at once and are fit for a loop thread.
//
// Life: the task outlives the Task object, the Driver and the agent. Destroying a Task object lets go of it and
// changes nothing; only stop(), kill() and destroy() act. The next agent finds the task by recover(), which comes
// before start() for every task that the client's state knows.

namespace steppe::drivers {

enum class Health : uint8_t { kUndetected, kUnhealthy, kHealthy };

struct Fingerprint {
  Health health = Health::kUndetected;
  std::string description;                                   // "Healthy", or why not
  std::map<std::string, std::string, std::less<>> attributes;  // "driver.exec" -> "1", ...
};

enum class Isolation : uint8_t { kNone, kChroot, kImage };

struct Capabilities {
  Isolation isolation = Isolation::kNone;
  bool send_signals = true;
  bool exec = true;
  bool mounts = false;               // honours TaskConfig::mounts
  bool devices = false;              // honours TaskConfig::devices
  bool network_namespace = false;    // honours TaskConfig::network_namespace
  bool enforces_resources = false;   // false on a host whose controllers are on cgroup v1
};

struct Resources {
  int64_t cpu_mhz = 0;                      // job's `cpu`, or the share of its cores; becomes cpu.weight
  std::string cores;                        // cpuset list "0-1,4"; empty: no pinning
  Bytes memory;                             // job's `memory`; 0: no limit
  Bytes memory_max;                         // job's `memory_max`; 0: same as memory
  int64_t pids_max = 8192;                  // processes and threads; 0: no limit
  int64_t io_weight = 0;                    // 1..10000; 0: kernel's default
  std::optional<int64_t> cpu_quota_percent;  // hard ceiling, 100 = one CPU; absent: none
};

struct LogConfig {
  int64_t max_files = 10;
  Bytes max_file_size = Bytes::mib(10);
  bool disabled = false;  // stdout and stderr go to /dev/null
};

// What the task sees under `destination`. The source is what the descriptor refers to, whatever its path means later.
struct Mount {
  kernel::Fd source;        // O_PATH of a directory or file
  std::string destination;  // absolute inside the task
  bool read_only = false;
};

// A device node of the host that the task may open.
struct DeviceNode {
  std::string host_path;    // /dev/...
  std::string task_path;    // /dev/... inside
  bool read = true, write = true, make_node = false;
};

struct RlimitSetting {
  int resource = 0;  // RLIMIT_NOFILE, ...
  uint64_t soft = 0, hard = 0;
};

// All that a driver needs to start one task. The client made the directories, interpolated every string and opened the
// descriptors (O_PATH|O_DIRECTORY|O_CLOEXEC, reached beneath the alloc directory). Movable only.
struct TaskConfig {
  std::string id;          // unique per start attempt on this node, [A-Za-z0-9._-]{1,120}: "<alloc id>.<task>.<attempt>"
  std::string alloc_id;
  std::string job_id, group, task;   // names: for process titles and logs only
  std::vector<std::string> env;      // "KEY=value", complete; nothing of the agent's own environment is added
  std::string user;                  // "", "name", "uid", "name:group", "uid:gid"; "": the driver's default
  ConfigMap config;                  // job > group > task > config
  Resources resources;
  LogConfig logs;

  // ALLOC/TASK, with local/ secrets/ tmp/ in it, and ALLOC/alloc. raw_exec uses the paths, exec the descriptors.
  kernel::Fd task_dir, alloc_dir, log_dir;     // log_dir: ALLOC/alloc/logs, gets TASK.stdout.N and TASK.stderr.N
  kernel::Fd local_dir, secrets_dir, tmp_dir;  // may be invalid: then beneath task_dir by their names
  std::string task_dir_path, alloc_dir_path;   // on the host

  std::vector<Mount> mounts;
  std::vector<DeviceNode> devices;
  std::vector<RlimitSetting> rlimits;
  std::optional<kernel::Fd> network_namespace;  // an nsfs descriptor; absent: the host's
};

// The numbers of `alloc status -stats`. Absent: the kernel does not tell (no controller).
struct TaskStats {
  WallTime at;
  std::vector<int> pids;
  std::optional<Bytes> memory_rss, memory_cache, memory_swap, memory_usage, memory_max_usage;
  std::optional<uint64_t> cpu_user_ns, cpu_system_ns, cpu_total_ns, throttled_periods, throttled_ns;
};

struct ExitResult {
  int code = 0;      // exit status; 128 + signal for a signal, as shells say it
  int signal = 0;    // 0: left by itself
  bool oom_killed = false;
  WallTime at;
  std::string error;  // not empty when the true result is unknown ("executor died without a record")
  bool success() const { return code == 0 && signal == 0 && error.empty(); }
};

struct ExecRequest {
  std::vector<std::string> argv;
  std::vector<std::string> env;  // empty: the task's own
  bool tty = false;
  uint16_t rows = 24, columns = 80;  // with tty
};

// One command inside a running task. Without a tty the three descriptors are pipes; with one, `terminal` is the master
// end (TIOCSWINSZ resizes) and the three are invalid. All are non-blocking and ours.
class ExecSession {
 public:
  virtual ~ExecSession() = default;  // kills the command if it still runs
  virtual int terminal() const = 0;
  virtual int stdin_fd() const = 0;
  virtual int stdout_fd() const = 0;
  virtual int stderr_fd() const = 0;
  virtual void close_stdin() = 0;
  virtual int wait_fd() const = 0;                  // readable when the command has ended
  virtual Result<ExitResult> reap() = 0;            // after wait_fd is readable
  virtual Result<> signal(int number) = 0;
  virtual Result<> resize(uint16_t rows, uint16_t columns) = 0;
};

class Task {
 public:
  virtual ~Task() = default;

  // What the client stores so that the next agent can recover(). Constant over the task's life.
  virtual const TaskHandle& handle() const = 0;
  // True when start() could not honour something, for a task event: "no cgroup v2 controllers: runs without limits".
  virtual const std::vector<std::string>& warnings() const = 0;

  // A descriptor that becomes readable (poll, epoll) once the task has ended and its exit result is durable. Owned by
  // the Task, valid until it is destroyed; do not read from it.
  virtual int wait_fd() const = 0;
  // The exit result. kUnavailable while the task runs. May be repeated, also after recover().
  virtual Result<ExitResult> reap() = 0;

  // Sends `signal`, and after `grace` kills everything in the task. Returns at once; the executor keeps the deadline,
  // also when the agent dies. A second stop() with a shorter grace shortens it. Fine on an ended task.
  virtual Result<> stop(int signal, Duration grace) = 0;
  // Kills everything in the task now.
  virtual Result<> kill() = 0;
  // kNotFound once it has ended.
  virtual Result<> signal(int number) = 0;

  virtual Result<TaskStats> stats() = 0;                                     // (blocks)
  virtual Result<std::unique_ptr<ExecSession>> exec(ExecRequest request) = 0;  // (blocks)

  // Kills what is left and removes what the driver made: executor, cgroup, run directory. Never the alloc's files.
  // After it the handle recovers to kNotFound. May be repeated.
  virtual Result<> destroy() = 0;  // (blocks)
};

class Driver {
 public:
  virtual ~Driver() = default;

  virtual std::string_view name() const = 0;
  virtual Capabilities capabilities() const = 0;
  // What the node says about this driver: "driver.<name>" = "1" and its details.
  virtual Fingerprint fingerprint() = 0;  // (blocks)

  // Pure check of a `config` block as written (strings may still hold ${...}). The error names the key.
  virtual Result<> validate(const ConfigMap& config) const = 0;

  // Gets ready what the next start() can use, if it is not. Called while nothing starts. After an error the next start()
  // takes a little longer.
  virtual Result<> prepare() { return {}; }  // (blocks, a ms)

  // Starts the task. On success its process has passed execve and its run directory and executor exist. On error
  // nothing is left behind. An error with code kUnavailable, kIo or kExhausted may be retried; others will not change.
  virtual Result<std::unique_ptr<Task>> start(TaskConfig config) = 0;  // (blocks, a few ms)

  // Takes hold again of a task that this or an earlier agent started; also of one that ended meanwhile, whose reap()
  // then gives the result. kNotFound: nothing of it is left (never started, destroyed, or the machine restarted).
  virtual Result<std::unique_ptr<Task>> recover(const TaskHandle& handle) = 0;  // (blocks)

  // The same for an attempt whose handle was never stored, because the agent died inside start(). Asked before each
  // start() of an attempt that might have been begun. kNotFound: safe to start.
  virtual Result<std::unique_ptr<Task>> recover_attempt(std::string_view id) = 0;  // (blocks)

  // The ids of all attempts of which something may be left here, sorted. Drivers that share a place name each other's as
  // well: recover_attempt() of those is kInvalid.
  virtual Result<std::vector<std::string>> attempts() { return std::vector<std::string>(); }  // (blocks)
};

}  // namespace steppe::drivers
