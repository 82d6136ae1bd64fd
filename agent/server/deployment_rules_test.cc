#include "agent/server/deployment_rules.h"

#include <gtest/gtest.h>

#include "agent/schema/alloc.pb.h"
#include "agent/schema/job.pb.h"
#include "agent/schema/plan.pb.h"

namespace steppe::server {
namespace {

using Act = DeploymentVerdict::Act;

constexpr int64_t kSecond = 1'000'000'000;

struct Case {
  const char* name;
  std::string status = "running";
  int64_t desired = 2;
  int64_t healthy_count = 0;
  int64_t canaries = 0;
  int64_t placed_canaries = 0;
  bool promoted = false;
  bool auto_promote = false;
  bool auto_revert = false;
  int64_t progress_deadline = 600 * kSecond;
  int64_t require_by = 0;          // 0: not started
  std::optional<bool> alloc_health = std::nullopt;  // of the one alloc
  uint64_t health_index = 10;
  uint64_t seen = 0;
  bool unlimited = true;
  // wanted
  Act act = Act::kNone;
  std::string_view why = "";
  bool rollback = false;
  size_t reschedule = 0;
  int64_t deadline = 0;
};

constexpr int64_t kNow = 1'000 * kSecond;

DeploymentVerdict judge(const Case& at) {
  schema::Deployment deployment;
  deployment.set_status(at.status);
  schema::DeploymentState& group = (*deployment.mutable_task_groups())["web"];
  group.set_desired_total(at.desired);
  group.set_healthy_allocs(at.healthy_count);
  group.set_desired_canaries(at.canaries);
  for (int64_t i = 0; i < at.placed_canaries; ++i) group.add_placed_canaries("c");
  group.set_promoted(at.promoted);
  group.set_auto_promote(at.auto_promote);
  group.set_auto_revert(at.auto_revert);
  group.set_progress_deadline(at.progress_deadline);
  group.set_require_progress_by(at.require_by);
  schema::Job job;
  schema::TaskGroup& task_group = *job.add_task_groups();
  task_group.set_name("web");
  task_group.mutable_reschedule_policy()->set_unlimited(at.unlimited);
  task_group.mutable_reschedule_policy()->set_delay(kSecond);
  task_group.mutable_reschedule_policy()->set_attempts(0);
  schema::Allocation alloc;
  alloc.set_id("a");
  alloc.set_task_group("web");
  alloc.set_desired_status("run");
  if (at.alloc_health) {
    alloc.mutable_deployment_status()->set_healthy(*at.alloc_health);
    alloc.mutable_deployment_status()->set_modify_index(at.health_index);
  }
  return judge_deployment({.deployment = &deployment, .job = &job, .allocs = {&alloc}, .seen_index = at.seen, .now = {kNow}});
}

TEST(DeploymentRulesTest, Table) {
  const Case cases[] = {
      {.name = "nothing yet"},
      {.name = "healthy alloc is news", .alloc_health = true, .act = Act::kEvaluate},
      {.name = "old news", .alloc_health = true, .seen = 10},
      {.name = "over", .status = "failed", .alloc_health = false},
      {.name = "unhealthy is replaced", .alloc_health = false, .act = Act::kEvaluate, .reschedule = 1},
      {.name = "unhealthy without deadline fails", .auto_revert = true, .progress_deadline = 0, .alloc_health = false, .act = Act::kFail, .why = kDeploymentFailedAllocs, .rollback = true},
      {.name = "unhealthy without attempts fails", .alloc_health = false, .unlimited = false, .act = Act::kFail, .why = kDeploymentFailedAllocs},
      {.name = "deadline ahead", .require_by = kNow + kSecond, .deadline = kNow + kSecond},
      {.name = "deadline passed", .auto_revert = true, .require_by = kNow, .act = Act::kFail, .why = kDeploymentProgressDeadline, .rollback = true},
      {.name = "deadline passed but all healthy", .healthy_count = 2, .require_by = kNow},
      {.name = "deadline passed while paused", .status = "paused", .require_by = kNow},
      {.name = "deadline passed, canaries healthy and not promoted", .healthy_count = 1, .canaries = 1, .placed_canaries = 1, .require_by = kNow},
      {.name = "deadline passed, promoted and short", .healthy_count = 1, .canaries = 1, .placed_canaries = 1, .promoted = true, .require_by = kNow, .act = Act::kFail, .why = kDeploymentProgressDeadline},
      {.name = "auto promote", .healthy_count = 1, .canaries = 1, .placed_canaries = 1, .auto_promote = true, .act = Act::kPromote},
      {.name = "auto promote waits for all canaries", .healthy_count = 1, .canaries = 2, .placed_canaries = 2, .auto_promote = true},
      {.name = "manual promotion", .healthy_count = 1, .canaries = 1, .placed_canaries = 1},
  };
  for (const Case& at : cases) {
    const DeploymentVerdict verdict = judge(at);
    EXPECT_EQ(static_cast<int>(verdict.act), static_cast<int>(at.act)) << at.name;
    EXPECT_EQ(verdict.description, at.why) << at.name;
    EXPECT_EQ(verdict.rollback, at.rollback) << at.name;
    EXPECT_EQ(verdict.reschedule.size(), at.reschedule) << at.name;
    EXPECT_EQ(verdict.deadline.value_or(WallTime{0}).unix_ns, at.deadline) << at.name;
  }
}

TEST(DeploymentRulesTest, RollbackTexts) {
  schema::Job current;
  current.set_id("web");
  current.set_priority(60);
  current.set_version(3);
  std::vector<schema::Job> versions = {current};
  Rollback chosen = choose_rollback("Why", current, versions);
  EXPECT_EQ(chosen.job, nullptr);
  EXPECT_EQ(chosen.description, "Why - no stable job version to auto revert to");
  schema::Job same = current;
  same.set_version(2);
  same.set_stable(true);
  versions.push_back(same);
  chosen = choose_rollback("Why", current, versions);
  EXPECT_EQ(chosen.job, nullptr);
  EXPECT_EQ(chosen.description, "Why - not rolling back to stable job version 2 as current job has same specification");
  versions[1].set_priority(50);
  chosen = choose_rollback("Why", current, versions);
  ASSERT_NE(chosen.job, nullptr);
  EXPECT_EQ(chosen.job->version(), 2U);
  EXPECT_EQ(chosen.description, "Why - rolling back to job version 2");
}

}  // namespace
}  // namespace steppe::server
