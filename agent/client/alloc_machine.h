#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/client/task_event.h"
#include "agent/client/task_machine.h"

namespace steppe::client {

// The order of the tasks of one alloc, as a pure function of what they are now: call step() after every change and
// carry out what it returns. It remembers only what it has asked for, so calling it again asks nothing twice.
//
//   stage      opens when                                                       tasks
//   prestart   at once                                                          hook = prestart, sidecars too
//   main       prestart ephemerals ended well and prestart sidecars run         no hook
//   poststart  every main has left pending                                      hook = poststart
//   poststop   every other task is dead                                         hook = poststop
//
//   kill order (stop, failed sibling, dead leader, only sidecars left, max_run_duration):
//     1 the leader, if it is alive   2 all that are no sidecar   3 sidecars; each step waits for the one before.
//     Poststop tasks are not killed, except by max_run_duration and destroy.
//
// Reasons to kill by ourselves, the first that holds: a task (not poststop) failed; the leader is dead; there are
// sidecars and no other task (not poststop) is alive.
enum class Hook : uint8_t { kMain, kPrestart, kPoststart, kPoststop };

struct TaskRole {
  std::string name;
  Hook hook = Hook::kMain;
  bool sidecar = false;
  bool leader = false;
};

struct TaskView {
  TaskPhase phase = TaskPhase::kWaiting;
  bool failed = false;
  bool ever_started = false;
  bool dead() const { return phase == TaskPhase::kDead; }
  bool running() const {
    return phase == TaskPhase::kRunning || phase == TaskPhase::kStopDelay || phase == TaskPhase::kStopping;
  }
  // Left "pending" at least once: what a poststart waits for.
  bool left_pending() const { return dead() || running() || ever_started; }
};

struct AllocEffect {
  enum class Kind : uint8_t { kOpenGate, kKill };
  Kind kind;
  size_t task = 0;
  TaskEvent why;  // kKill
  TaskMachine::KillMode mode = TaskMachine::KillMode::kOrderly;
  TaskMachine::KillMeaning meaning = TaskMachine::KillMeaning::kStop;
};

enum class ClientStatus : uint8_t { kPending, kRunning, kComplete, kFailed };
std::string_view client_status_name(ClientStatus status);
std::string_view client_status_description(ClientStatus status);  // "Tasks are running", ...

// failed if any task failed, else running, pending, complete.
ClientStatus client_status(const std::vector<TaskView>& tasks);

// Why and how the whole alloc ends.
struct AllocKill {
  TaskEvent why;
  TaskMachine::KillMode mode = TaskMachine::KillMode::kOrderly;
  TaskMachine::KillMeaning meaning = TaskMachine::KillMeaning::kStop;
  bool poststop_too = false;
};

class AllocMachine {
 public:
  explicit AllocMachine(std::vector<TaskRole> roles);

  // The server (or a person through it) wants the alloc to end. `no_delay` skips shutdown delays.
  void request_stop(TaskMachine::KillMode mode);
  // max_run_duration is over: every task fails, poststop included.
  void run_time_over();
  // The alloc is to vanish from this node now.
  void destroy();
  // For "restart all tasks": gates open again in order.
  void revive(size_t task);

  std::vector<AllocEffect> step(const std::vector<TaskView>& tasks);

  bool finished(const std::vector<TaskView>& tasks) const;
  bool stopping() const { return kill_.has_value(); }
  bool timed_out() const { return timed_out_; }
  const std::vector<TaskRole>& roles() const { return roles_; }

 private:
  struct Asked {
    bool gate = false;
    bool kill = false;
    bool kill_no_delay = false;
  };
  void find_reason_to_kill(const std::vector<TaskView>& tasks);
  void open_gates(const std::vector<TaskView>& tasks, std::vector<AllocEffect>& out);
  void kill_in_order(const std::vector<TaskView>& tasks, std::vector<AllocEffect>& out);
  bool gate_is_open(Hook hook, const std::vector<TaskView>& tasks) const;

  std::vector<TaskRole> roles_;
  std::vector<Asked> asked_;
  std::optional<AllocKill> kill_;
  bool timed_out_ = false;
};

}  // namespace steppe::client
