#include "agent/server/leader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "agent/schema/agent.pb.h"
#include "agent/schema/job.pb.h"
#include "agent/schema/node.pb.h"
#include "agent/schema/plan.pb.h"
#include "agent/server/test_cluster.h"

namespace steppe::server {
namespace {

using endpoint::Method;
using namespace std::chrono_literals;

// A job whose update block makes deployments.
schema::Job rolling_job(int64_t count, const std::string& driver_value, bool auto_revert = false) {
  schema::Job job = test_job("web", count);
  schema::TaskGroup& group = *job.mutable_task_groups(0);
  group.mutable_update()->set_max_parallel(1);
  group.mutable_update()->set_auto_revert(auto_revert);
  (*group.mutable_tasks(0)->mutable_env())["VALUE"] = driver_value;
  group.mutable_reschedule_policy()->set_attempts(0);
  group.mutable_reschedule_policy()->set_unlimited(false);
  return job;
}

// Reports every alloc that should run as running, and healthy as told; every one that should stop as complete.
void drive(TestCluster& cluster, const std::string& node, bool healthy) {
  for (int round = 0; round < 12; ++round) {
    cluster.heartbeat(node);
    for (const schema::Allocation& alloc : cluster.allocs("web")) {
      const bool over = alloc.client_status() == "complete" || alloc.client_status() == "failed";
      if (alloc.desired_status() != "run" && !over) cluster.report(node, alloc.id(), "complete");
      if (alloc.desired_status() == "run" && !over && !alloc.deployment_status().has_healthy()) cluster.report(node, alloc.id(), "running", healthy);
    }
    cluster.run_for(1s);
  }
  cluster.settle();
}

schema::Deployment latest(TestCluster& cluster) {
  schema::JobSpecificRequest about;
  about.set_job_id("web");
  return cluster.call<Method::kJobLatestDeployment>(about).deployment();
}

TEST(LeaderTest, RollingUpdateSucceedsAndIsStable) {
  TestCluster cluster;
  const std::string node = cluster.add_node();
  cluster.call<Method::kJobRegister>(registration(rolling_job(3, "one")));
  cluster.settle();
  drive(cluster, node, true);
  EXPECT_EQ(latest(cluster).status(), "successful");
  EXPECT_EQ(latest(cluster).status_description(), "Deployment completed successfully");
  EXPECT_TRUE(cluster.snapshot().job_version("default", "web", 0)->stable());
  cluster.call<Method::kJobRegister>(registration(rolling_job(3, "two")));
  cluster.settle();
  int new_ones = 0;
  for (const auto& alloc : cluster.allocs("web")) new_ones += alloc.job().version() == 1 ? 1 : 0;
  EXPECT_EQ(new_ones, 1) << "one at a time";
  drive(cluster, node, true);
  EXPECT_EQ(latest(cluster).status(), "successful");
  std::map<uint64_t, int> running;
  for (const auto& alloc : cluster.allocs("web")) {
    if (alloc.client_status() == "running") ++running[alloc.job().version()];
  }
  EXPECT_EQ(running, (std::map<uint64_t, int>{{1, 3}}));
}

TEST(LeaderTest, UnhealthyUpdateRevertsToTheStableVersion) {
  TestCluster cluster;
  const std::string node = cluster.add_node();
  cluster.call<Method::kJobRegister>(registration(rolling_job(2, "good", true)));
  cluster.settle();
  drive(cluster, node, true);
  cluster.call<Method::kJobRegister>(registration(rolling_job(2, "bad", true)));
  cluster.settle();
  for (const auto& alloc : cluster.allocs("web")) {
    if (alloc.job().version() == 1) cluster.report(node, alloc.id(), "failed", false);
  }
  cluster.run_for(2s);
  cluster.settle();
  std::vector<std::string> described;
  for (const auto& deployment : cluster.snapshot().deployments_by_job("default", "web", state::Incarnation::kCurrent)) described.push_back(deployment.decode().status_description());
  EXPECT_NE(std::find(described.begin(), described.end(), "Failed due to unhealthy allocations - rolling back to job version 0"), described.end()) << described.front();
  const schema::Job job = cluster.snapshot().job("default", "web")->decode();
  EXPECT_EQ(job.version(), 2U);
  EXPECT_EQ(job.task_groups(0).tasks(0).env().at("VALUE"), "good");
}

TEST(LeaderTest, ProgressDeadlineFailsADeployment) {
  TestCluster cluster;
  const std::string node = cluster.add_node();
  schema::Job job = rolling_job(1, "one");
  job.mutable_task_groups(0)->mutable_update()->set_progress_deadline((60s / 1ns));
  job.mutable_task_groups(0)->mutable_update()->set_healthy_deadline((30s / 1ns));
  job.mutable_task_groups(0)->mutable_update()->set_min_healthy_time((1s / 1ns));
  cluster.call<Method::kJobRegister>(registration(job));
  cluster.settle();
  EXPECT_EQ(latest(cluster).status(), "running");
  for (int i = 0; i < 20; ++i) {
    cluster.run_for(5s);
    cluster.heartbeat(node);
  }
  EXPECT_EQ(latest(cluster).status(), "failed");
  EXPECT_EQ(latest(cluster).status_description(), "Failed due to progress deadline");
}

TEST(LeaderTest, DeploymentVerbs) {
  TestCluster cluster;
  cluster.add_node();
  cluster.call<Method::kJobRegister>(registration(rolling_job(1, "one")));
  cluster.settle();
  const std::string id = latest(cluster).id();
  schema::DeploymentPauseRequest pause;
  pause.set_deployment_id(id);
  pause.set_pause(true);
  cluster.call<Method::kDeploymentPause>(pause);
  EXPECT_EQ(latest(cluster).status(), "paused");
  pause.set_pause(false);
  cluster.call<Method::kDeploymentPause>(pause);
  EXPECT_EQ(latest(cluster).status(), "running");
  schema::DeploymentPromoteRequest promote;
  promote.set_deployment_id(id);
  promote.set_all(true);
  EXPECT_EQ(cluster.failure<Method::kDeploymentPromote>(promote).message(), "no canaries to promote");
  schema::DeploymentFailRequest fail;
  fail.set_deployment_id(id);
  cluster.call<Method::kDeploymentFail>(fail);
  EXPECT_EQ(latest(cluster).status_description(), "Deployment marked as failed");
  EXPECT_EQ(cluster.failure<Method::kDeploymentFail>(fail).message(), "can't fail terminal deployment");
  EXPECT_EQ(cluster.failure<Method::kDeploymentPause>(pause).message(), "can't resume terminal deployment");
}

TEST(LeaderTest, DrainMovesAllocsThenEnds) {
  TestCluster cluster;
  const std::string from = cluster.add_node("from");
  schema::Job job = test_job("web", 2);
  job.mutable_task_groups(0)->mutable_update()->set_max_parallel(0);
  job.mutable_task_groups(0)->mutable_migrate()->set_max_parallel(1);
  cluster.call<Method::kJobRegister>(registration(job));
  cluster.settle();
  cluster.obey(from);
  const std::string to = cluster.add_node("to");
  schema::NodeUpdateDrainRequest drain;
  drain.set_node_id(from);
  drain.mutable_drain_spec()->set_deadline((1h / 1ns));
  cluster.call<Method::kNodeUpdateDrain>(drain);
  EXPECT_FALSE(cluster.snapshot().node(*NodeId::parse(from))->eligible());
  cluster.run_for(1s);
  cluster.settle();
  int stopped = 0;
  for (const auto& alloc : cluster.allocs("web")) stopped += alloc.desired_status() == "stop" ? 1 : 0;
  EXPECT_EQ(stopped, 1) << "max_parallel";
  for (int i = 0; i < 6; ++i) {
    cluster.obey(from);
    cluster.obey(to);
    cluster.run_for(1s);
    cluster.settle();
  }
  int moved = 0;
  for (const auto& alloc : cluster.allocs("web")) moved += alloc.node_id() == to && alloc.client_status() == "running" ? 1 : 0;
  EXPECT_EQ(moved, 2);
  const schema::Node node = cluster.snapshot().node(*NodeId::parse(from))->decode();
  EXPECT_FALSE(node.has_drain_strategy());
  EXPECT_EQ(node.last_drain().status(), "complete");
  EXPECT_EQ(node.scheduling_eligibility(), "ineligible");
}

TEST(LeaderTest, ForcedGarbageCollectionLeavesWhatLives) {
  TestCluster cluster;
  const std::string node = cluster.add_node();
  cluster.call<Method::kJobRegister>(registration(test_job("lives", 1)));
  cluster.call<Method::kJobRegister>(registration(test_job("goes", 2)));
  cluster.settle();
  cluster.obey(node);
  schema::JobDeregisterRequest stop;
  stop.set_job_id("goes");
  cluster.call<Method::kJobDeregister>(stop);
  cluster.settle();
  cluster.obey(node);
  cluster.call<Method::kSystemGarbageCollect>({});
  EXPECT_FALSE(cluster.snapshot().job("default", "goes"));
  EXPECT_TRUE(cluster.snapshot().job("default", "lives"));
  EXPECT_TRUE(cluster.allocs("goes").empty());
  ASSERT_EQ(cluster.allocs("lives").size(), 1U);
  EXPECT_TRUE(cluster.snapshot().evals_by_job("default", "goes").empty());
  EXPECT_TRUE(cluster.snapshot().node(*NodeId::parse(node)));
}

TEST(LeaderTest, AgedGarbageGoesByItself) {
  TestCluster cluster;
  const std::string node = cluster.add_node();
  cluster.call<Method::kJobRegister>(registration(test_job("goes", 1)));
  cluster.settle();
  cluster.obey(node);
  schema::JobDeregisterRequest stop;
  stop.set_job_id("goes");
  cluster.call<Method::kJobDeregister>(stop);
  cluster.settle();
  cluster.obey(node);
  cluster.run_for(3h);
  EXPECT_TRUE(cluster.snapshot().job("default", "goes"));
  cluster.run_for(90min);
  EXPECT_FALSE(cluster.snapshot().job("default", "goes"));
  EXPECT_TRUE(cluster.snapshot().node(*NodeId::parse(node))) << "silent for less than a day";
  cluster.run_for(25h);
  EXPECT_FALSE(cluster.snapshot().node(*NodeId::parse(node)));
}

void beat_for(TestCluster& cluster, const std::string& node, Duration duration) {
  for (Duration passed{}; passed < duration; passed += 5s) {
    cluster.run_for(5s);
    cluster.heartbeat(node);
  }
}

TEST(LeaderTest, PeriodicJobsLaunchChildren) {
  TestCluster cluster;
  const std::string node = cluster.add_node();
  schema::Job job = test_job("nightly", 1, "batch");
  job.mutable_periodic()->set_enabled(true);
  job.mutable_periodic()->set_spec("*/10 * * * *");
  job.mutable_periodic()->set_spec_type("cron");
  job.mutable_periodic()->set_prohibit_overlap(true);
  const auto reply = cluster.call<Method::kJobRegister>(registration(job));
  EXPECT_TRUE(reply.eval_id().empty());
  EXPECT_TRUE(cluster.snapshot().jobs_by_parent("default", "nightly").empty()) << "registering never fires";
  beat_for(cluster, node, 10min);
  ASSERT_EQ(cluster.snapshot().jobs_by_parent("default", "nightly").size(), 1U);
  const schema::Job child = cluster.snapshot().jobs_by_parent("default", "nightly")[0].decode();
  EXPECT_TRUE(child.id().starts_with("nightly/periodic-"));
  EXPECT_FALSE(child.has_periodic());
  EXPECT_EQ(cluster.allocs(child.id()).size(), 1U);
  beat_for(cluster, node, 20min);
  EXPECT_EQ(cluster.snapshot().jobs_by_parent("default", "nightly").size(), 1U) << "the first one still runs";
  schema::PeriodicForceRequest force;
  force.set_job_id("nightly");
  EXPECT_NE(cluster.failure<Method::kPeriodicForce>(force).message().find("prohibits overlap"), std::string::npos);
}

}  // namespace
}  // namespace steppe::server
