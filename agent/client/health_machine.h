#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "agent/client/alloc_machine.h"
#include "init/base/clock.h"

namespace steppe::client {

// Whether an alloc of a deployment counts as healthy. Pure: call step() on every change and at wake().
//
//   healthy    every task that must run has run for min_healthy_time without a restart; prestart and poststart
//              ephemerals may have ended well; poststop tasks do not count
//   unhealthy  a task failed, a task that must run ended, or healthy_deadline passed first
//   never      health_check = "manual": a person decides through the API
struct HealthPolicy {
  bool manual = false;
  Duration min_healthy_time = std::chrono::seconds(10);
  Duration healthy_deadline = std::chrono::minutes(5);
};

class HealthMachine {
 public:
  HealthMachine(HealthPolicy policy, std::vector<TaskRole> roles, MonoTime start);

  // `restarts`: of each task, so that a restart between two calls resets the clock. The verdict is given once.
  std::optional<bool> step(const std::vector<TaskView>& tasks, const std::vector<uint64_t>& restarts, MonoTime now);
  // When to call step() again if nothing changes; absent once the verdict is given or with manual checks.
  std::optional<MonoTime> wake() const;

 private:
  std::optional<bool> decide(bool healthy) {
    decided_ = true;
    return healthy;
  }

  HealthPolicy policy_;
  std::vector<TaskRole> roles_;
  MonoTime deadline_;
  std::optional<MonoTime> good_since_;
  std::vector<uint64_t> restarts_;
  bool decided_ = false;
};

}  // namespace steppe::client
