#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "init/base/clock.h"

namespace steppe::schema {
class Allocation;
class Deployment;
class Job;
}

// What the leader does about a running deployment. Pure.
namespace steppe::server {

// Texts that programs match on.
inline constexpr std::string_view kDeploymentRunning = "Deployment is running";
inline constexpr std::string_view kDeploymentPaused = "Deployment is paused";
inline constexpr std::string_view kDeploymentFailedAllocs = "Failed due to unhealthy allocations";
inline constexpr std::string_view kDeploymentProgressDeadline = "Failed due to progress deadline";
inline constexpr std::string_view kDeploymentFailedByUser = "Deployment marked as failed";

struct DeploymentLook {
  const schema::Deployment* deployment = nullptr;
  const schema::Job* job = nullptr;  // the version that is being deployed
  std::vector<const schema::Allocation*> allocs;  // of the deployment
  uint64_t seen_index = 0;                        // health changes up to here were acted on
  WallTime now;
};

struct DeploymentVerdict {
  // In order of precedence: a deployment that fails is not promoted, one that is promoted is evaluated by that.
  enum class Act : uint8_t { kNone, kFail, kPromote, kEvaluate } act = Act::kNone;
  std::string_view description;        // kFail: why
  bool rollback = false;               // kFail: a group that failed asks for it
  std::vector<std::string> reschedule; // unhealthy allocs that may be replaced now
  uint64_t seen_index = 0;
  std::optional<WallTime> deadline;    // look again then, if nothing happens before
};

// A deployment that is over needs nothing.
//   unhealthy alloc, its group without progress deadline      fail
//   unhealthy alloc that has no reschedule attempt left       fail
//   unhealthy alloc otherwise                                 let it be replaced, evaluate
//   progress deadline passed, a group short of healthy ones   fail, unless paused
//   all canaries healthy and every canary group auto-promotes promote
//   any other change of health                                evaluate: the next step, or the end
DeploymentVerdict judge_deployment(const DeploymentLook& look);

// A group waits for its canaries to be promoted.
bool needs_promotion(const schema::Deployment& deployment);

// "<why> - rolling back to job version 3", and the two cases in which there is nothing to roll back to.
struct Rollback {
  const schema::Job* job = nullptr;  // null: none
  std::string description;
};
// `versions`: newest first. `current`: what is registered.
Rollback choose_rollback(std::string_view why, const schema::Job& current, const std::vector<schema::Job>& versions);

}  // namespace steppe::server
