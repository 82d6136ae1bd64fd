#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "agent/client/restart_policy.h"
#include "agent/client/task_event.h"
#include "init/base/clock.h"
#include "init/base/rng.h"

namespace steppe::schema {
class TaskState;
}

namespace steppe::client {

// One task's life as a pure state machine: events in, effects out. The shell (task_runner.h) carries the effects out
// and feeds back what came of them.
//
//   phase      shown    what it waits for                        leaves by
//   waiting    pending  its turn in the group's life cycle       open_gate -> preparing; kill -> dead
//   preparing  pending  hooks: directories, artifacts, templates prepared -> starting; failed -> restart decision;
//                                                                kill: hooks are told to stop, then dead
//   starting   pending  the driver's start                       started -> running; failed -> restart decision;
//                                                                kill: remembered, a start cannot be taken back
//   running    running  the exit                                 exited -> restart decision; kill -> stop_delay or
//                                                                stopping; restart -> stopping
//   stop_delay running  shutdown_delay to pass                   timer, or kill without delay -> stopping; exited ->
//                                                                dead or preparing
//   stopping   running  the exit, at most kill_timeout           exited -> dead (kill) or preparing (restart); timer:
//                                                                kills again, because the executor may be gone
//   backoff    pending  the restart delay                        timer or restart -> preparing; kill -> dead
//   dead       dead     nothing; revive() for a restart of all tasks
//
// Guards: a kill wins over a restart whenever both are asked. An exit while a kill is under way never counts as
// a failure and never restarts. A recovered task enters at running, or at waiting when nothing of it was left; a kill or
// a restart that the former agent had begun is gone on with.
enum class TaskPhase : uint8_t { kWaiting, kPreparing, kStarting, kRunning, kStopDelay, kStopping, kBackoff, kDead };

struct TaskPolicy {
  RestartPolicy restart;
  Duration kill_timeout = std::chrono::seconds(5);
  Duration shutdown_delay{};
  int kill_signal = 2;  // SIGINT
};

struct TaskExit {
  int code = 0;
  int signal = 0;
  bool oom_killed = false;
  std::string error;
  bool success() const { return code == 0 && signal == 0 && error.empty(); }
};

struct TaskEffect {
  enum class Kind : uint8_t {
    kPrepare,        // run the hooks, then call prepared()
    kCancelPrepare,  // ask the hooks to end early; prepared() still comes
    kStart,          // driver start of attempt(); persist the attempt first
    kStop,           // persist what was changed first, then signal, and after `delay` kill
    kKill,           // kill at once
    kRelease,        // driver destroy(): the ended attempt is forgotten
    kTimer,          // call timer() after `delay`; replaces the one before
    kCancelTimer,
    kChanged,        // snapshot() changed: persist, report
    kFinished,       // dead for good: stop hooks
  };
  Kind kind;
  Duration delay{};
  int signal = 0;
};
using TaskEffects = std::vector<TaskEffect>;

// What was asked of the task and has not come about. Stored before the task is signalled: the agent may die before the
// exit, and its successor must know what that exit means.
struct TaskAsked {
  bool kill = false;
  bool kill_fails = false;  // the kill counts as a failure
  bool no_delay = false;    // shutdown_delay is cut short
  bool restart = false;

  bool operator==(const TaskAsked&) const = default;
};

// What the machine knows at one instant: what is stored, shown, and restored.
struct TaskSnapshot {
  TaskPhase phase = TaskPhase::kWaiting;
  TaskAsked asked;
  bool failed = false;
  uint64_t restarts = 0;
  uint64_t attempt = 0;  // names the driver's task: grows with each start
  WallTime last_restart, started_at, finished_at;
  RestartTracker::Memory restart_memory;
  std::deque<TaskEvent> events;  // the last kMaxTaskEvents

  std::string_view state() const;  // "pending", "running", "dead"
  void to_schema(schema::TaskState& out) const;
};
inline constexpr size_t kMaxTaskEvents = 10;

struct Moment {
  WallTime wall;
};

class TaskMachine {
 public:
  // `rng` outlives the machine.
  TaskMachine(TaskPolicy policy, Rng& rng);

  // Takes over what a former agent stored. `alive`: the driver has hold of the attempt's task, running or ended.
  // Otherwise a task that should be alive runs again without a restart being counted. Dead stays dead.
  TaskEffects restore(TaskSnapshot stored, bool alive, Moment now);

  TaskEffects open_gate(Moment now);
  TaskEffects prepared(Moment now);
  TaskEffects prepare_failed(TaskEvent why, bool recoverable, Moment now);
  TaskEffects started(Moment now);
  TaskEffects start_failed(std::string why, bool recoverable, Moment now);
  TaskEffects exited(const TaskExit& exit, Moment now);
  TaskEffects timer(Moment now);

  enum class KillMode : uint8_t { kOrderly, kNoDelay };
  enum class KillMeaning : uint8_t { kStop, kFail };
  // `why`: recorded first when it has a type ("Sibling Task Failed"). May be repeated; kNoDelay cuts a delay short.
  TaskEffects kill(TaskEvent why, KillMode mode, KillMeaning meaning, Moment now);
  // Asked for by a person, a template or a check. No effect on a task that is dead or on its way there.
  TaskEffects restart(std::string reason, Moment now);
  // A dead task back to waiting, for "restart all tasks".
  TaskEffects revive(Moment now);
  TaskEffects record(TaskEvent event, Moment now);

  void set_policy(TaskPolicy policy);
  const TaskSnapshot& snapshot() const { return now_; }
  TaskPhase phase() const { return now_.phase; }

 private:
  void note(TaskEvent event, Moment now);
  void die(TaskEffects& out, bool failed, Moment now);
  void prepare(TaskEffects& out);
  void begin_stop(TaskEffects& out, Moment now);
  void signal_to_stop(TaskEffects& out);
  void go_on(TaskEffects& out, Moment now);
  void begin_kill(TaskEffects& out, KillMode mode, Moment now);
  void decide(TaskEffects& out, const RestartDecision& decision, Moment now);
  void wait_for_restart(TaskEffects& out, Duration delay, std::string_view reason, Moment now);

  TaskPolicy policy_;
  Rng& rng_;
  RestartTracker tracker_;
  TaskSnapshot now_;
};

}  // namespace steppe::client
