#include <gtest/gtest.h>

#include <format>
#include <string>
#include <vector>

#include "agent/state/sample_test.h"
#include "agent/state/store.h"

namespace steppe::state {
namespace {

class Rules : public testing::Test {
 protected:
  template <class Command>
  Outcome apply(schema::LogType type, const Command& command) {
    auto done = sample::apply(store_, ++index_, type, command);
    EXPECT_TRUE(done.ok()) << done.error().message();
    return *done;
  }
  template <class Command>
  std::string refusal(schema::LogType type, const Command& command) {
    uint64_t before = store_.snapshot().digest(Table::kNodes) + store_.snapshot().digest(Table::kJobs);
    Outcome done = apply(type, command);
    EXPECT_EQ(store_.snapshot().digest(Table::kNodes) + store_.snapshot().digest(Table::kJobs), before);
    EXPECT_TRUE(done.changes.empty());
    return done.refused.has_value() ? done.refused->message() : "not refused";
  }
  Outcome register_job(const schema::Job& job) {
    schema::LogJobRegister command;
    *command.mutable_job() = job;
    return apply(schema::LOG_JOB_REGISTER, command);
  }
  std::string register_node(const std::string& status = "ready") {
    schema::LogNodeRegister command;
    *command.mutable_node() = sample::node(sample::uuid(rng_), "n1");
    command.mutable_node()->set_status(status);
    apply(schema::LOG_NODE_REGISTER, command);
    return command.node().id();
  }
  schema::Node node(const std::string& id) { return store_.snapshot().node(NodeId(*Uuid::parse(id)))->decode(); }
  schema::Deployment deployment(const std::string& id) {
    return store_.snapshot().deployment(DeploymentId(*Uuid::parse(id)))->decode();
  }
  std::vector<uint64_t> versions(const std::string& job) {
    std::vector<uint64_t> all;
    for (const auto& v : store_.snapshot().job_versions("default", job)) all.push_back(v.version());
    return all;
  }
  // A deployment of `canaries` placed canaries; returns alloc ids.
  std::vector<std::string> deploy(const std::string& id, int canaries) {
    register_job(sample::job("web"));
    schema::LogPlanApply plan;
    *plan.mutable_job() = store_.snapshot().job("default", "web")->decode();
    schema::Deployment& d = *plan.mutable_deployment();
    d.set_id(id);
    d.set_job_id("web");
    d.set_status("running");
    d.set_status_description("Deployment is running but requires manual promotion");
    schema::DeploymentState& state = (*d.mutable_task_groups())["group0"];
    state.set_desired_canaries(canaries);
    state.set_desired_total(3);
    state.set_progress_deadline(600);
    std::vector<std::string> ids;
    std::string node_id = sample::uuid(rng_);
    std::string eval_id = sample::uuid(rng_);
    for (int i = 0; i < canaries; ++i) {
      schema::Allocation& alloc = *plan.add_allocs_updated();
      alloc = sample::alloc(rng_, "web", "group0", static_cast<uint64_t>(i), node_id, eval_id);
      alloc.set_deployment_id(id);
      alloc.mutable_deployment_status()->set_canary(true);
      ids.push_back(alloc.id());
    }
    plan.set_unix_ns(1000);
    apply(schema::LOG_PLAN_APPLY, plan);
    return ids;
  }

  SeededRng rng_{5};
  Store store_;
  uint64_t index_ = 1;
};

TEST_F(Rules, VersionsRiseOnlyWhenTheSpecChanges) {
  schema::Job job = sample::job("web");
  EXPECT_EQ(register_job(job).job_modify_index, 2u);
  job.set_submit_time(99);
  job.set_status("running");
  job.set_version(7);
  Outcome same = register_job(job);
  EXPECT_EQ(same.job_modify_index, 2u);
  EXPECT_EQ(versions("web"), (std::vector<uint64_t>{0}));
  job.set_priority(60);
  EXPECT_EQ(register_job(job).job_modify_index, 4u);
  auto view = store_.snapshot().job("default", "web");
  EXPECT_EQ(view->version(), 1u);
  EXPECT_EQ(view->create_index(), 2u);
  EXPECT_EQ(view->modify_index(), 4u);
}

TEST_F(Rules, StoppingKeepsTheJobAndRegisteringAgainClearsStop) {
  schema::Job job = sample::job("web");
  register_job(job);
  schema::LogJobDeregister stop;
  stop.set_job_id("web");
  apply(schema::LOG_JOB_DEREGISTER, stop);
  auto view = store_.snapshot().job("default", "web");
  EXPECT_TRUE(view->stop());
  EXPECT_EQ(view->status(), JobStatus::kDead);
  EXPECT_EQ(view->version(), 1u);
  register_job(job);
  view = store_.snapshot().job("default", "web");
  EXPECT_FALSE(view->stop());
  EXPECT_EQ(view->version(), 2u);
  EXPECT_EQ(view->status(), JobStatus::kPending);
  stop.set_job_id("unknown");
  EXPECT_EQ(refusal(schema::LOG_JOB_DEREGISTER, stop), "job not found");
}

TEST_F(Rules, SixVersionsAreKeptAndTheOnlyStableOneIsAmongThem) {
  for (int i = 0; i < 6; ++i) {
    schema::Job job = sample::job("web");
    job.set_priority(10 + i);
    register_job(job);
    if (i == 0) {
      schema::LogJobStability stable;
      stable.set_job_id("web");
      stable.set_job_version(0);
      stable.set_stable(true);
      apply(schema::LOG_JOB_STABILITY, stable);
    }
  }
  EXPECT_EQ(versions("web"), (std::vector<uint64_t>{5, 4, 3, 2, 1, 0}));
  schema::Job job = sample::job("web");
  job.set_priority(20);
  register_job(job);
  EXPECT_EQ(versions("web"), (std::vector<uint64_t>{6, 5, 4, 3, 2, 0}));
  EXPECT_TRUE(store_.snapshot().job_version("default", "web", 0)->stable());
  EXPECT_FALSE(store_.snapshot().job("default", "web")->stable());
}

TEST_F(Rules, ChildrenAreCountedInTheParentsSummary) {
  schema::Job parent = sample::job("cron");
  parent.set_type("batch");
  parent.mutable_periodic()->set_enabled(true);
  register_job(parent);
  EXPECT_EQ(store_.snapshot().job("default", "cron")->status(), JobStatus::kRunning);
  schema::Job child = sample::job("cron/periodic-1");
  child.set_parent_id("cron");
  register_job(child);
  EXPECT_EQ(store_.snapshot().job("default", "cron")->summary().children().pending(), 1);
  EXPECT_EQ(store_.snapshot().jobs_by_parent("default", "cron").size(), 1u);
  schema::LogJobDeregister purge;
  purge.set_job_id("cron/periodic-1");
  purge.set_purge(true);
  apply(schema::LOG_JOB_DEREGISTER, purge);
  EXPECT_EQ(store_.snapshot().job("default", "cron")->summary().children().pending(), 0);
  EXPECT_EQ(store_.snapshot().job("default", "cron")->summary().children().dead(), 1);
  EXPECT_TRUE(store_.snapshot().jobs_by_parent("default", "cron").empty());
}

TEST_F(Rules, SubmissionsAreKeptWithTheirVersion) {
  schema::LogJobRegister command;
  *command.mutable_job() = sample::job("web");
  command.mutable_submission()->set_source("job \"web\" {}");
  command.mutable_submission()->set_format("hcl2");
  apply(schema::LOG_JOB_REGISTER, command);
  auto submission = store_.snapshot().job_submission("default", "web", 0);
  ASSERT_TRUE(submission.has_value());
  EXPECT_EQ(submission->source(), "job \"web\" {}");
  EXPECT_EQ(submission->job_modify_index(), index_);
  EXPECT_FALSE(store_.snapshot().job_submission("default", "web", 1).has_value());
}

TEST_F(Rules, NodesKeepTenEvents) {
  std::string id = register_node();
  for (int i = 0; i < 15; ++i) {
    schema::LogNodeEvents command;
    (*command.mutable_events())[id].add_items()->set_message(std::format("event {}", i));
    apply(schema::LOG_NODE_EVENTS, command);
  }
  schema::Node stored = node(id);
  ASSERT_EQ(stored.events_size(), 10);
  EXPECT_EQ(stored.events(0).message(), "event 5");
  EXPECT_EQ(stored.events(9).message(), "event 14");
  EXPECT_EQ(stored.events(9).create_index(), index_);
}

TEST_F(Rules, NodesThatComeBackKeepWhatIsTheServers) {
  std::string id = register_node();
  schema::LogNodeDrain drain;
  drain.set_node_id(id);
  drain.mutable_drain_strategy()->set_deadline(60);
  drain.set_updated_at(7);
  apply(schema::LOG_NODE_DRAIN, drain);
  schema::LogNodeRegister again;
  *again.mutable_node() = sample::node(id, "renamed");
  again.mutable_node()->set_scheduling_eligibility("eligible");
  apply(schema::LOG_NODE_REGISTER, again);
  schema::Node stored = node(id);
  EXPECT_EQ(stored.name(), "renamed");
  EXPECT_EQ(stored.scheduling_eligibility(), "ineligible");
  EXPECT_TRUE(stored.has_drain_strategy());
  EXPECT_EQ(stored.last_drain().status(), "draining");
  again.mutable_node()->set_secret_id("another");
  EXPECT_EQ(refusal(schema::LOG_NODE_REGISTER, again), "node secret ID does not match. Not registering node.");
}

TEST_F(Rules, DrainsEndCompleteOrCanceled) {
  for (bool completed : {false, true}) {
    std::string id = register_node();
    schema::LogNodeDrain drain;
    drain.set_node_id(id);
    drain.mutable_drain_strategy()->set_deadline(60);
    drain.set_updated_at(7);
    (*drain.mutable_meta())["why"] = "disk";
    apply(schema::LOG_NODE_DRAIN, drain);
    auto view = store_.snapshot().node(NodeId(*Uuid::parse(id)));
    EXPECT_TRUE(view->draining());
    EXPECT_FALSE(view->placeable());
    schema::LogNodeEligibility eligible;
    eligible.set_node_id(id);
    eligible.set_eligibility("eligible");
    EXPECT_EQ(refusal(schema::LOG_NODE_ELIGIBILITY, eligible),
              "can not set node's scheduling eligibility to eligible while it is draining");
    schema::LogNodeDrain end;
    end.set_node_id(id);
    end.set_updated_at(9);
    end.set_drain_completed(completed);
    end.set_mark_eligible(!completed);
    apply(schema::LOG_NODE_DRAIN, end);
    schema::Node stored = node(id);
    EXPECT_EQ(stored.last_drain().status(), completed ? "complete" : "canceled");
    EXPECT_EQ(stored.last_drain().started_at(), 7'000'000'000);
    EXPECT_EQ(stored.last_drain().updated_at(), 9'000'000'000);
    EXPECT_EQ(stored.last_drain().meta().at("why"), "disk");
    EXPECT_EQ(stored.scheduling_eligibility(), completed ? "ineligible" : "eligible");
  }
}

TEST_F(Rules, MissedHeartbeatsAndReturnsAreMarked) {
  std::string id = register_node();
  schema::LogNodeStatus status;
  status.set_node_id(id);
  status.set_status("down");
  apply(schema::LOG_NODE_STATUS, status);
  EXPECT_EQ(node(id).last_missed_heartbeat_index(), index_);
  uint64_t missed = index_;
  apply(schema::LOG_NODE_STATUS, status);
  EXPECT_EQ(node(id).last_missed_heartbeat_index(), missed) << "still down is not another miss";
  schema::LogNodeRegister again;
  *again.mutable_node() = sample::node(id, "n1");
  apply(schema::LOG_NODE_REGISTER, again);
  EXPECT_EQ(node(id).events(1).message(), "Node reregistered");
  status.set_status("sleeping");
  EXPECT_EQ(refusal(schema::LOG_NODE_STATUS, status), "unknown node status \"sleeping\"");
  status.set_node_id(sample::uuid(rng_));
  EXPECT_EQ(refusal(schema::LOG_NODE_STATUS, status), "node not found");
}

TEST_F(Rules, PoolsAppearWithTheirNodes) {
  schema::LogNodeRegister command;
  *command.mutable_node() = sample::node(sample::uuid(rng_), "n1");
  command.mutable_node()->set_node_pool("gpu");
  apply(schema::LOG_NODE_REGISTER, command);
  EXPECT_TRUE(store_.snapshot().node_pool("gpu").has_value());
  EXPECT_TRUE(store_.snapshot().node_pool("all").has_value());
  schema::LogNodePoolDelete remove;
  remove.add_names("gpu");
  EXPECT_EQ(refusal(schema::LOG_NODE_POOL_DELETE, remove),
            "node pool \"gpu\" has nodes in it; move or stop them first");
  schema::LogNodeDeregister gone;
  gone.add_node_ids(command.node().id());
  apply(schema::LOG_NODE_DEREGISTER, gone);
  apply(schema::LOG_NODE_POOL_DELETE, remove);
  EXPECT_FALSE(store_.snapshot().node_pool("gpu").has_value());
  remove.set_names(0, "default");
  EXPECT_EQ(refusal(schema::LOG_NODE_POOL_DELETE, remove), "deleting node pool \"default\" is not allowed");
}

TEST_F(Rules, PromotionNeedsHealthyCanaries) {
  std::string id = sample::uuid(rng_);
  std::vector<std::string> canaries = deploy(id, 2);
  EXPECT_EQ(deployment(id).task_groups().at("group0").placed_canaries_size(), 2);
  EXPECT_EQ(deployment(id).task_groups().at("group0").require_progress_by(), 1600);
  schema::LogDeploymentAllocHealth health;
  health.set_deployment_id(id);
  health.add_healthy_allocation_ids(canaries[0]);
  health.set_timestamp(2000);
  apply(schema::LOG_DEPLOYMENT_ALLOC_HEALTH, health);
  EXPECT_EQ(deployment(id).task_groups().at("group0").require_progress_by(), 2600);
  schema::LogDeploymentPromote promote;
  promote.set_deployment_id(id);
  promote.set_all(true);
  promote.set_unix_ns(3000);
  EXPECT_EQ(refusal(schema::LOG_DEPLOYMENT_PROMOTE, promote), "Task group \"group0\" has 1/2 healthy allocations");
  health.set_healthy_allocation_ids(0, canaries[1]);
  apply(schema::LOG_DEPLOYMENT_ALLOC_HEALTH, health);
  apply(schema::LOG_DEPLOYMENT_PROMOTE, promote);
  schema::Deployment stored = deployment(id);
  EXPECT_TRUE(stored.task_groups().at("group0").promoted());
  EXPECT_EQ(stored.task_groups().at("group0").healthy_allocs(), 2);
  EXPECT_EQ(stored.task_groups().at("group0").require_progress_by(), 3600);
  EXPECT_EQ(stored.status_description(), "Deployment is running");
  auto alloc = store_.snapshot().alloc(AllocId(*Uuid::parse(canaries[0])));
  EXPECT_FALSE(alloc->canary());
  EXPECT_EQ(alloc->alloc_modify_index(), index_);
}

TEST_F(Rules, ASuccessfulDeploymentMakesItsVersionStableAndIsFinal) {
  std::string id = sample::uuid(rng_);
  deploy(id, 1);
  EXPECT_FALSE(store_.snapshot().job("default", "web")->stable());
  schema::LogDeploymentStatus update;
  update.mutable_update()->set_deployment_id(id);
  update.mutable_update()->set_status("successful");
  apply(schema::LOG_DEPLOYMENT_STATUS, update);
  EXPECT_TRUE(store_.snapshot().job("default", "web")->stable());
  update.mutable_update()->set_status("failed");
  EXPECT_EQ(refusal(schema::LOG_DEPLOYMENT_STATUS, update),
            std::format("deployment \"{}\" has terminal status \"successful\"", id));
}

TEST_F(Rules, AllocsShareTheirJobAndOutliveIt) {
  std::string id = sample::uuid(rng_);
  std::vector<std::string> ids = deploy(id, 2);
  Snapshot before = store_.snapshot();
  auto first = before.alloc(AllocId(*Uuid::parse(ids[0])));
  auto second = before.alloc(AllocId(*Uuid::parse(ids[1])));
  EXPECT_EQ(first->job().identity(), second->job().identity());
  EXPECT_EQ(first->job().identity(), before.job("default", "web")->spec().identity());
  schema::LogJobDeregister purge;
  purge.set_job_id("web");
  purge.set_purge(true);
  apply(schema::LOG_JOB_DEREGISTER, purge);
  register_job(sample::job("web"));
  Snapshot after = store_.snapshot();
  auto orphan = after.alloc(AllocId(*Uuid::parse(ids[0])));
  EXPECT_EQ(orphan->decode(WithJob::kYes).job().create_index(), 2u);
  EXPECT_TRUE(after.allocs_by_job("default", "web", Incarnation::kCurrent).empty());
  EXPECT_EQ(after.allocs_by_job("default", "web", Incarnation::kAny).size(), 2u);
  EXPECT_EQ(after.job("default", "web")->summary().summary().at("group0").starting(), 0);
}

TEST_F(Rules, ConfigurationIsSetWhenTheIndexMatches) {
  EXPECT_FALSE(store_.snapshot().scheduler_config().has_value());
  schema::LogSchedulerConfig command;
  command.mutable_config()->set_scheduler_algorithm("spread");
  EXPECT_TRUE(apply(schema::LOG_SCHEDULER_CONFIG, command).updated);
  uint64_t stored = index_;
  command.mutable_config()->set_scheduler_algorithm("binpack");
  command.set_cas(true);
  command.set_cas_index(stored + 5);
  EXPECT_FALSE(apply(schema::LOG_SCHEDULER_CONFIG, command).updated);
  EXPECT_EQ(store_.snapshot().scheduler_config()->scheduler_algorithm(), "spread");
  command.set_cas_index(stored);
  EXPECT_TRUE(apply(schema::LOG_SCHEDULER_CONFIG, command).updated);
  EXPECT_EQ(store_.snapshot().scheduler_config()->scheduler_algorithm(), "binpack");
}

TEST_F(Rules, TheClusterVersionOnlyRises) {
  schema::LogClusterVersion command;
  command.set_version(3);
  apply(schema::LOG_CLUSTER_VERSION, command);
  EXPECT_EQ(store_.snapshot().cluster_version(), 3u);
  command.set_version(2);
  EXPECT_EQ(refusal(schema::LOG_CLUSTER_VERSION, command), "the cluster has version 3; it cannot go back to 2");
}

TEST_F(Rules, ReconcilingRebuildsTheSummaries) {
  std::vector<std::string> ids = deploy(sample::uuid(rng_), 3);
  schema::LogAllocClientUpdate update;
  *update.add_allocs() = sample::running(ids[0], 5);
  *update.add_allocs() = sample::running(ids[1], 5);
  update.mutable_allocs(1)->set_client_status("failed");
  apply(schema::LOG_ALLOC_CLIENT_UPDATE, update);
  auto before = store_.snapshot().job("default", "web")->summary();
  apply(schema::LOG_RECONCILE_SUMMARIES, schema::LogReconcileSummaries());
  auto after = store_.snapshot().job("default", "web")->summary();
  EXPECT_EQ(after.summary().at("group0").SerializeAsString(), before.summary().at("group0").SerializeAsString());
  EXPECT_EQ(after.summary().at("group0").running(), 1);
  EXPECT_EQ(after.summary().at("group0").failed(), 1);
  EXPECT_EQ(after.summary().at("group0").starting(), 1);
  EXPECT_EQ(after.modify_index(), index_);
}

TEST_F(Rules, BadInputIsRefusedWithItsReason) {
  schema::Job job = sample::job("web");
  job.set_id(std::string("a\0b", 3));
  schema::LogJobRegister command;
  *command.mutable_job() = job;
  EXPECT_NE(refusal(schema::LOG_JOB_REGISTER, command).find("zero byte"), std::string::npos);
  *command.mutable_job() = sample::job("web");
  command.mutable_job()->set_type("sometimes");
  EXPECT_EQ(refusal(schema::LOG_JOB_REGISTER, command), "job \"web\": unknown job type \"sometimes\"");
  *command.mutable_job() = sample::job("web");
  *command.mutable_eval() = sample::eval("not-a-uuid", "web");
  EXPECT_NE(refusal(schema::LOG_JOB_REGISTER, command).find("evaluation ID"), std::string::npos);
  schema::LogPlanApply plan;
  *plan.add_allocs_updated() = sample::alloc(rng_, "web", "group0", 0, sample::uuid(rng_), sample::uuid(rng_));
  EXPECT_NE(refusal(schema::LOG_PLAN_APPLY, plan).find("without a job"), std::string::npos);
}

TEST_F(Rules, EvalsAreListedByIndexAndReported) {
  std::vector<std::string> ids;
  for (int i = 0; i < 5; ++i) {
    schema::LogEvalUpsert command;
    ids.push_back(sample::uuid(rng_));
    *command.add_evals() = sample::eval(ids.back(), "web");
    Outcome done = apply(schema::LOG_EVAL_UPSERT, command);
    ASSERT_EQ(done.evals.size(), 1u);
    EXPECT_EQ(done.evals[0].text(), ids.back());
  }
  std::vector<std::string> seen;
  auto collect = [&](const EvalView& view) {
    seen.push_back(view.id().text());
    return seen.size() < 3;
  };
  store_.snapshot().each_eval_by_index(3, Order::kForward, collect);
  EXPECT_EQ(seen, (std::vector<std::string>{ids[1], ids[2], ids[3]}));
  seen.clear();
  store_.snapshot().each_eval_by_index(0, Order::kReverse, collect);
  EXPECT_EQ(seen, (std::vector<std::string>{ids[4], ids[3], ids[2]}));
}

}  // namespace
}  // namespace steppe::state
