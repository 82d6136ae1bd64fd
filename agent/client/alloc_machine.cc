#include "agent/client/alloc_machine.h"

#include <algorithm>

#include "init/base/assert.h"

namespace steppe::client {

std::string_view client_status_name(ClientStatus status) {
  switch (status) {
    case ClientStatus::kPending: return "pending";
    case ClientStatus::kRunning: return "running";
    case ClientStatus::kComplete: return "complete";
    case ClientStatus::kFailed: return "failed";
  }
  return "pending";
}

std::string_view client_status_description(ClientStatus status) {
  switch (status) {
    case ClientStatus::kPending: return "No tasks have started";
    case ClientStatus::kRunning: return "Tasks are running";
    case ClientStatus::kComplete: return "All tasks have completed";
    case ClientStatus::kFailed: return "Failed tasks";
  }
  return "";
}

ClientStatus client_status(const std::vector<TaskView>& tasks) {
  bool running = false, pending = false;
  for (const TaskView& task : tasks) {
    if (task.dead() && task.failed) return ClientStatus::kFailed;
    running = running || task.running();
    pending = pending || (!task.dead() && !task.running());
  }
  if (running) return ClientStatus::kRunning;
  return pending ? ClientStatus::kPending : ClientStatus::kComplete;
}

AllocMachine::AllocMachine(std::vector<TaskRole> roles) : roles_(std::move(roles)), asked_(roles_.size()) {}

void AllocMachine::request_stop(TaskMachine::KillMode mode) {
  if (!kill_) kill_.emplace();
  if (mode == TaskMachine::KillMode::kNoDelay) kill_->mode = mode;
}

void AllocMachine::run_time_over() {
  if (kill_ && !kill_->poststop_too) return;  // it is stopping already: let it end as what it was
  if (kill_) return;
  timed_out_ = true;
  kill_.emplace();
  kill_->why = event::with_detail(event::kKilling, "kill_reason", "allocation exceeded max_run_duration");
  kill_->meaning = TaskMachine::KillMeaning::kFail;
  kill_->poststop_too = true;
}

void AllocMachine::destroy() {
  if (!kill_) kill_.emplace();
  kill_->mode = TaskMachine::KillMode::kNoDelay;
  kill_->poststop_too = true;
}

void AllocMachine::revive(size_t task) {
  asked_[task] = {};
  kill_.reset();
}

void AllocMachine::find_reason_to_kill(const std::vector<TaskView>& tasks) {
  if (kill_) return;
  const TaskRole* failed = nullptr;
  bool leader_dead = false, has_sidecars = false, others_alive = false, alive = false;
  for (size_t i = 0; i < roles_.size(); ++i) {
    if (roles_[i].hook == Hook::kPoststop) continue;
    has_sidecars = has_sidecars || roles_[i].sidecar;
    if (!tasks[i].dead()) {
      alive = true;
      others_alive = others_alive || !roles_[i].sidecar;
    } else if (tasks[i].failed) {
      if (failed == nullptr) failed = &roles_[i];
    } else if (roles_[i].leader) {
      leader_dead = true;
    }
  }
  if (!alive) return;
  // A dead leader is the better explanation when both hold.
  if (leader_dead) {
    kill_.emplace().why = event::plain(event::kLeaderDead);
  } else if (failed != nullptr) {
    kill_.emplace().why = event::sibling_failed(failed->name);
  } else if (has_sidecars && !others_alive) {
    kill_.emplace().why = event::plain(event::kMainDead);
  }
}

bool AllocMachine::gate_is_open(Hook hook, const std::vector<TaskView>& tasks) const {
  for (size_t i = 0; i < roles_.size(); ++i) {
    const TaskRole& role = roles_[i];
    const TaskView& task = tasks[i];
    switch (hook) {
      case Hook::kPrestart: return true;
      case Hook::kMain:
        if (role.hook != Hook::kPrestart) break;
        if (role.sidecar ? !task.running() && !task.ever_started : !(task.dead() && !task.failed)) return false;
        break;
      case Hook::kPoststart:
        if (role.hook == Hook::kMain && !task.left_pending()) return false;
        if (role.hook == Hook::kPrestart && !task.left_pending()) return false;
        break;
      case Hook::kPoststop:
        if (role.hook != Hook::kPoststop && !task.dead()) return false;
        break;
    }
  }
  return true;
}

void AllocMachine::open_gates(const std::vector<TaskView>& tasks, std::vector<AllocEffect>& out) {
  for (size_t i = 0; i < roles_.size(); ++i) {
    Hook hook = roles_[i].hook;
    if (asked_[i].gate || tasks[i].phase != TaskPhase::kWaiting) continue;
    bool barred = kill_ && (hook != Hook::kPoststop || kill_->poststop_too);
    if (barred || !gate_is_open(hook, tasks)) continue;
    asked_[i].gate = true;
    out.push_back({AllocEffect::Kind::kOpenGate, i});
  }
}

void AllocMachine::kill_in_order(const std::vector<TaskView>& tasks, std::vector<AllocEffect>& out) {
  auto rank = [&](size_t i) {
    if (roles_[i].hook == Hook::kPoststop) return kill_->poststop_too ? 3 : 4;
    if (roles_[i].leader) return 0;
    return roles_[i].sidecar ? 2 : 1;
  };
  int turn = 4;
  for (size_t i = 0; i < roles_.size(); ++i) {
    if (!tasks[i].dead()) turn = std::min(turn, rank(i));
  }
  for (size_t i = 0; i < roles_.size(); ++i) {
    if (turn == 4 || rank(i) != turn || tasks[i].dead()) continue;
    bool hurry = kill_->mode == TaskMachine::KillMode::kNoDelay;
    if (asked_[i].kill && (!hurry || asked_[i].kill_no_delay)) continue;
    asked_[i].kill = true;
    asked_[i].kill_no_delay = hurry;
    out.push_back({AllocEffect::Kind::kKill, i, kill_->why, kill_->mode, kill_->meaning});
  }
}

std::vector<AllocEffect> AllocMachine::step(const std::vector<TaskView>& tasks) {
  STEPPE_ASSERT(tasks.size() == roles_.size());
  std::vector<AllocEffect> out;
  find_reason_to_kill(tasks);
  if (kill_) kill_in_order(tasks, out);
  open_gates(tasks, out);
  return out;
}

bool AllocMachine::finished(const std::vector<TaskView>& tasks) const {
  return std::ranges::all_of(tasks, &TaskView::dead);
}

}  // namespace steppe::client
