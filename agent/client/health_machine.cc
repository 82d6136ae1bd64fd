#include "agent/client/health_machine.h"

#include <algorithm>

namespace steppe::client {

HealthMachine::HealthMachine(HealthPolicy policy, std::vector<TaskRole> roles, MonoTime start)
    : policy_(policy), roles_(std::move(roles)), deadline_(start + policy.healthy_deadline) {}

std::optional<bool> HealthMachine::step(const std::vector<TaskView>& tasks, const std::vector<uint64_t>& restarts,
                                        MonoTime now) {
  if (decided_ || policy_.manual) return std::nullopt;
  bool all_good = true;
  for (size_t i = 0; i < roles_.size(); ++i) {
    const TaskRole& role = roles_[i];
    if (role.hook == Hook::kPoststop) continue;
    if (tasks[i].dead() && tasks[i].failed) return decide(false);
    bool may_end = role.hook != Hook::kMain && !role.sidecar;
    if (tasks[i].dead() && !may_end) return decide(false);
    bool good = tasks[i].dead() || (tasks[i].running() && role.hook != Hook::kPrestart) ||
                (tasks[i].running() && role.sidecar);
    all_good = all_good && good;
  }
  if (!all_good || restarts != restarts_) good_since_.reset();
  restarts_ = restarts;
  if (all_good && !good_since_) good_since_ = now;
  if (all_good && now >= *good_since_ + policy_.min_healthy_time && *good_since_ + policy_.min_healthy_time <= deadline_) {
    return decide(true);
  }
  if (now >= deadline_) return decide(false);
  return std::nullopt;
}

std::optional<MonoTime> HealthMachine::wake() const {
  if (decided_ || policy_.manual) return std::nullopt;
  if (!good_since_) return deadline_;
  return std::min(deadline_, *good_since_ + policy_.min_healthy_time);
}

}  // namespace steppe::client
