#include "agent/client/task_machine.h"

#include <utility>

#include "agent/schema/alloc.pb.h"
#include "init/base/assert.h"

namespace steppe::client {
namespace {

using Kind = TaskEffect::Kind;

// How long after the driver's own deadline we kill again: its executor may have died with it.
constexpr Duration kKillMargin = std::chrono::seconds(5);

TaskEvent killed_event() { return event::plain(event::kKilled); }

}  // namespace

std::string_view TaskSnapshot::state() const {
  switch (phase) {
    case TaskPhase::kWaiting:
    case TaskPhase::kPreparing:
    case TaskPhase::kStarting:
    case TaskPhase::kBackoff: return "pending";
    case TaskPhase::kRunning:
    case TaskPhase::kStopDelay:
    case TaskPhase::kStopping: return "running";
    case TaskPhase::kDead: return "dead";
  }
  return "pending";
}

void TaskSnapshot::to_schema(schema::TaskState& out) const {
  out.Clear();
  out.set_state(std::string(state()));
  out.set_failed(failed);
  out.set_restarts(restarts);
  out.set_last_restart(last_restart.unix_ns);
  out.set_started_at(started_at.unix_ns);
  out.set_finished_at(finished_at.unix_ns);
  for (const TaskEvent& event : events) event.to_schema(*out.add_events());
}

TaskMachine::TaskMachine(TaskPolicy policy, Rng& rng) : policy_(policy), rng_(rng), tracker_(policy.restart) {}

void TaskMachine::set_policy(TaskPolicy policy) {
  policy_ = policy;
  tracker_.set_policy(policy.restart);
}

void TaskMachine::note(TaskEvent event, Moment now) {
  event.time = now.wall;
  if (event.fails_task) now_.failed = true;
  now_.events.push_back(std::move(event));
  while (now_.events.size() > kMaxTaskEvents) now_.events.pop_front();
}

TaskEffects TaskMachine::record(TaskEvent event, Moment now) {
  note(std::move(event), now);
  return {{Kind::kChanged}};
}

void TaskMachine::die(TaskEffects& out, bool failed, Moment now) {
  now_.phase = TaskPhase::kDead;
  now_.failed = now_.failed || failed;
  now_.finished_at = now.wall;
  now_.asked.restart = false;
  out.push_back({Kind::kCancelTimer});
  out.push_back({Kind::kChanged});
  out.push_back({Kind::kFinished});
}

void TaskMachine::prepare(TaskEffects& out) {
  now_.phase = TaskPhase::kPreparing;
  now_.asked.restart = false;
  out.push_back({Kind::kCancelTimer});
  out.push_back({Kind::kChanged});
  out.push_back({Kind::kPrepare});
}

TaskEffects TaskMachine::restore(TaskSnapshot stored, bool alive, Moment now) {
  STEPPE_ASSERT(now_.phase == TaskPhase::kWaiting);
  now_ = std::move(stored);
  tracker_.restore(now_.restart_memory);
  if (now_.phase == TaskPhase::kDead) return {{Kind::kFinished}};
  if (alive) {
    // Also an attempt whose start the former agent did not live to see confirmed.
    if (now_.started_at.unix_ns == 0) now_.started_at = now.wall;
    if (now_.phase == TaskPhase::kStarting) note(event::plain(event::kStarted), now);
    TaskEffects out;
    go_on(out, now);
    return out;
  }
  if (now_.asked.kill) {
    TaskEffects out;
    note(killed_event(), now);
    die(out, now_.asked.kill_fails, now);
    return out;
  }
  bool was_running = now_.phase == TaskPhase::kRunning || now_.phase == TaskPhase::kStopDelay ||
                     now_.phase == TaskPhase::kStopping;
  now_.phase = TaskPhase::kWaiting;
  if (was_running) {
    note(event::with_message(event::kRestoreFailed,
                             "nothing is left of the task (the machine restarted?); it runs again"), now);
  }
  return {{Kind::kChanged}};
}

TaskEffects TaskMachine::open_gate(Moment now) {
  TaskEffects out;
  (void)now;
  if (now_.phase == TaskPhase::kWaiting) prepare(out);
  return out;
}

TaskEffects TaskMachine::prepared(Moment now) {
  STEPPE_ASSERT(now_.phase == TaskPhase::kPreparing);
  TaskEffects out;
  if (now_.asked.kill) {
    note(killed_event(), now);
    die(out, now_.asked.kill_fails, now);
    return out;
  }
  now_.phase = TaskPhase::kStarting;
  ++now_.attempt;
  out.push_back({Kind::kChanged});
  out.push_back({Kind::kStart});
  return out;
}

TaskEffects TaskMachine::prepare_failed(TaskEvent why, bool recoverable, Moment now) {
  STEPPE_ASSERT(now_.phase == TaskPhase::kPreparing);
  TaskEffects out;
  if (now_.asked.kill) {  // that the hooks were told to end is no failure of theirs
    note(killed_event(), now);
    die(out, now_.asked.kill_fails, now);
    return out;
  }
  note(std::move(why), now);
  decide(out, tracker_.after_start_error(recoverable, now.wall, rng_), now);
  return out;
}

TaskEffects TaskMachine::started(Moment now) {
  STEPPE_ASSERT(now_.phase == TaskPhase::kStarting);
  TaskEffects out;
  now_.phase = TaskPhase::kRunning;
  now_.started_at = now.wall;
  note(event::plain(event::kStarted), now);
  out.push_back({Kind::kChanged});
  if (now_.asked.kill) {
    begin_kill(out, now_.asked.no_delay ? KillMode::kNoDelay : KillMode::kOrderly, now);
  } else if (now_.asked.restart) {
    begin_stop(out, now);
  }
  return out;
}

TaskEffects TaskMachine::start_failed(std::string why, bool recoverable, Moment now) {
  STEPPE_ASSERT(now_.phase == TaskPhase::kStarting);
  TaskEffects out;
  note(event::with_detail(event::kDriverFailure, "driver_error", std::move(why)), now);
  if (now_.asked.kill) {
    note(killed_event(), now);
    die(out, now_.asked.kill_fails, now);
    return out;
  }
  decide(out, tracker_.after_start_error(recoverable, now.wall, rng_), now);
  return out;
}

TaskEffects TaskMachine::exited(const TaskExit& exit, Moment now) {
  STEPPE_ASSERT(now_.phase == TaskPhase::kRunning || now_.phase == TaskPhase::kStopDelay ||
                now_.phase == TaskPhase::kStopping);
  TaskEffects out;
  out.push_back({Kind::kCancelTimer});
  note(event::terminated(exit.code, exit.signal, exit.oom_killed, exit.error), now);
  out.push_back({Kind::kRelease});
  if (now_.asked.kill) {
    note(killed_event(), now);
    die(out, now_.asked.kill_fails, now);
    return out;
  }
  if (now_.asked.restart) {
    now_.asked.restart = false;
    wait_for_restart(out, Duration(0), "", now);
    return out;
  }
  decide(out, tracker_.after_exit(exit.success(), now.wall, rng_), now);
  return out;
}

void TaskMachine::decide(TaskEffects& out, const RestartDecision& decision, Moment now) {
  now_.restart_memory = tracker_.memory();
  switch (decision.verdict) {
    case RestartVerdict::kEnd: die(out, false, now); return;
    case RestartVerdict::kFail:
      note(event::not_restarting(decision.reason), now);
      die(out, true, now);
      return;
    case RestartVerdict::kRestart: wait_for_restart(out, decision.delay, decision.reason, now); return;
  }
}

void TaskMachine::wait_for_restart(TaskEffects& out, Duration delay, std::string_view reason, Moment now) {
  note(event::restarting(delay, reason), now);
  ++now_.restarts;
  now_.last_restart = now.wall;
  if (delay.count() <= 0) {
    prepare(out);
    return;
  }
  now_.phase = TaskPhase::kBackoff;
  out.push_back({Kind::kChanged});
  out.push_back({Kind::kTimer, delay});
}

TaskEffects TaskMachine::timer(Moment now) {
  TaskEffects out;
  switch (now_.phase) {
    case TaskPhase::kBackoff: prepare(out); break;
    case TaskPhase::kStopDelay: begin_stop(out, now); break;
    case TaskPhase::kStopping:
      out.push_back({Kind::kKill});
      out.push_back({Kind::kTimer, kKillMargin});
      break;
    default: break;  // a timer that fired while its cancellation was on the way
  }
  return out;
}

void TaskMachine::begin_stop(TaskEffects& out, Moment now) {
  if (now_.asked.kill) note(event::killing(policy_.kill_timeout), now);
  signal_to_stop(out);
}

void TaskMachine::signal_to_stop(TaskEffects& out) {
  now_.phase = TaskPhase::kStopping;
  out.push_back({Kind::kChanged});
  out.push_back({Kind::kStop, policy_.kill_timeout, policy_.kill_signal});
  out.push_back({Kind::kTimer, policy_.kill_timeout + kKillMargin});
}

// A recovered task goes on in the phase its record names; its first signal may have been sent or not.
void TaskMachine::go_on(TaskEffects& out, Moment now) {
  TaskPhase stored = std::exchange(now_.phase, TaskPhase::kRunning);
  if (stored == TaskPhase::kStopping && (now_.asked.kill || now_.asked.restart)) {
    signal_to_stop(out);
  } else if (now_.asked.kill) {
    begin_kill(out, now_.asked.no_delay ? KillMode::kNoDelay : KillMode::kOrderly, now);
  } else if (now_.asked.restart) {
    begin_stop(out, now);
  } else {
    out.push_back({Kind::kChanged});
  }
}

void TaskMachine::begin_kill(TaskEffects& out, KillMode mode, Moment now) {
  if (policy_.shutdown_delay.count() > 0 && mode == KillMode::kOrderly) {
    now_.phase = TaskPhase::kStopDelay;
    note(event::shutdown_delay(policy_.shutdown_delay), now);
    out.push_back({Kind::kTimer, policy_.shutdown_delay});
    out.push_back({Kind::kChanged});
    return;
  }
  if (policy_.shutdown_delay.count() > 0) note(event::plain(event::kSkippingShutdownDelay), now);
  begin_stop(out, now);
}

TaskEffects TaskMachine::kill(TaskEvent why, KillMode mode, KillMeaning meaning, Moment now) {
  TaskEffects out;
  if (now_.phase == TaskPhase::kDead) return out;
  bool repeated = now_.asked.kill;
  now_.asked.kill = true;
  now_.asked.no_delay = now_.asked.no_delay || mode == KillMode::kNoDelay;
  now_.asked.kill_fails = now_.asked.kill_fails || meaning == KillMeaning::kFail;
  if (!repeated) {
    if (!why.type.empty()) note(std::move(why), now);
    out.push_back({Kind::kChanged});
  }
  switch (now_.phase) {
    case TaskPhase::kWaiting:
    case TaskPhase::kBackoff:
      note(killed_event(), now);
      die(out, now_.asked.kill_fails, now);
      break;
    case TaskPhase::kPreparing:
      if (!repeated) out.push_back({Kind::kCancelPrepare});
      break;
    case TaskPhase::kRunning: begin_kill(out, mode, now); break;
    case TaskPhase::kStopDelay:
      if (mode == KillMode::kNoDelay) begin_stop(out, now);
      break;
    case TaskPhase::kStopping:
      // Was stopping for a restart: from now on it is a kill.
      if (!repeated) {
        note(event::killing(policy_.kill_timeout), now);
        out.push_back({Kind::kChanged});
      }
      break;
    case TaskPhase::kStarting:
    case TaskPhase::kDead: break;
  }
  return out;
}

TaskEffects TaskMachine::restart(std::string reason, Moment now) {
  TaskEffects out;
  if (now_.asked.kill || now_.phase == TaskPhase::kDead || now_.phase == TaskPhase::kWaiting) return out;
  if (now_.phase == TaskPhase::kPreparing) return out;  // it is about to start anyway
  note(event::with_detail(event::kRestartSignaled, "restart_reason", std::move(reason)), now);
  out.push_back({Kind::kChanged});
  if (now_.phase == TaskPhase::kBackoff) {
    prepare(out);
  } else if (now_.phase == TaskPhase::kRunning) {
    now_.asked.restart = true;
    begin_stop(out, now);
  } else {
    now_.asked.restart = true;
  }
  return out;
}

TaskEffects TaskMachine::revive(Moment now) {
  (void)now;
  if (now_.phase != TaskPhase::kDead) return {};
  now_.asked = {};
  now_.failed = false;
  now_.finished_at = {};
  now_.phase = TaskPhase::kWaiting;
  return {{Kind::kChanged}};
}

}  // namespace steppe::client
