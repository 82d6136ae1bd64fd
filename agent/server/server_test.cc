#include "agent/server/server.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "agent/schema/job.pb.h"
#include "agent/schema/node.pb.h"
#include "agent/schema/plan.pb.h"
#include "agent/server/test_cluster.h"

namespace steppe::server {
namespace {

using endpoint::Method;
using namespace std::chrono_literals;

schema::NodeSpecificRequest about_node(const std::string& id) {
  schema::NodeSpecificRequest request;
  request.set_node_id(id);
  request.set_secret_id("secret-" + id);
  return request;
}

TEST(ServerTest, RegisteredJobReachesItsNode) {
  TestCluster cluster;
  const std::string node = cluster.add_node();
  const auto reply = cluster.call<Method::kJobRegister>(registration(test_job("web", 2)));
  EXPECT_FALSE(reply.eval_id().empty());
  EXPECT_EQ(reply.job_modify_index(), reply.eval_create_index());
  EXPECT_GT(reply.meta().index(), 0U);
  cluster.settle();
  const auto told = cluster.call<Method::kNodeGetClientAllocs>(about_node(node));
  ASSERT_EQ(told.allocs_size(), 2);
  schema::EvalSpecificRequest about_eval;
  about_eval.set_eval_id(reply.eval_id());
  EXPECT_EQ(cluster.call<Method::kEvalGetEval>(about_eval).eval().status(), "complete");
  cluster.obey(node);
  for (const schema::Allocation& alloc : cluster.allocs("web")) {
    EXPECT_EQ(alloc.client_status(), "running");
    EXPECT_EQ(alloc.node_id(), node);
    EXPECT_EQ(alloc.job().id(), "web");
  }
  schema::JobSpecificRequest about_job;
  about_job.set_job_id("web");
  EXPECT_EQ(cluster.call<Method::kJobGetJob>(about_job).job().status(), "running");
  EXPECT_EQ(cluster.call<Method::kJobSummary>(about_job).job_summary().summary().at("web").running(), 2);
}

TEST(ServerTest, JobWaitsForRoomAndGetsIt) {
  TestCluster cluster;
  const auto reply = cluster.call<Method::kJobRegister>(registration(test_job("web", 3)));
  cluster.settle();
  EXPECT_TRUE(cluster.allocs("web").empty());
  schema::EvalSpecificRequest about_eval;
  about_eval.set_eval_id(reply.eval_id());
  const schema::Evaluation eval = cluster.call<Method::kEvalGetEval>(about_eval).eval();
  EXPECT_EQ(eval.status(), "complete");
  EXPECT_EQ(eval.failed_tg_allocs_size(), 1);
  about_eval.set_eval_id(eval.blocked_eval());
  EXPECT_EQ(cluster.call<Method::kEvalGetEval>(about_eval).eval().status(), "blocked");
  cluster.add_node();
  cluster.settle();
  EXPECT_EQ(cluster.allocs("web").size(), 3U);
  EXPECT_EQ(cluster.call<Method::kEvalGetEval>(about_eval).eval().status(), "complete");
}

TEST(ServerTest, RoomThatAnEndedAllocLeavesIsUsed) {
  TestCluster cluster;
  const std::string node = cluster.add_node();
  cluster.call<Method::kJobRegister>(registration(test_job("first", 10)));
  cluster.settle();
  cluster.obey(node);
  cluster.call<Method::kJobRegister>(registration(test_job("second", 4)));
  cluster.settle();
  EXPECT_TRUE(cluster.allocs("second").empty());
  schema::JobDeregisterRequest stop;
  stop.set_job_id("first");
  cluster.call<Method::kJobDeregister>(stop);
  cluster.settle();
  EXPECT_TRUE(cluster.allocs("second").empty()) << "told to stop is not stopped";
  cluster.obey(node);
  cluster.settle();
  EXPECT_EQ(cluster.allocs("second").size(), 4U);
}

TEST(ServerTest, VersionRisesOnlyWithTheSpec) {
  TestCluster cluster;
  const std::string node = cluster.add_node();
  const auto first = cluster.call<Method::kJobRegister>(registration(test_job("web", 1)));
  cluster.settle();
  const auto again = cluster.call<Method::kJobRegister>(registration(test_job("web", 1)));
  EXPECT_EQ(again.job_modify_index(), first.job_modify_index());
  EXPECT_NE(again.eval_id(), first.eval_id());
  const auto changed = cluster.call<Method::kJobRegister>(registration(test_job("web", 2)));
  EXPECT_GT(changed.job_modify_index(), first.job_modify_index());
  schema::JobVersionsRequest about;
  about.set_job_id("web");
  about.set_diffs(true);
  const auto versions = cluster.call<Method::kJobGetJobVersions>(about);
  ASSERT_EQ(versions.versions_size(), 2);
  EXPECT_EQ(versions.versions(0).version(), 1U);
  ASSERT_EQ(versions.diffs_size(), 1);
  EXPECT_EQ(versions.diffs(0).type(), "Edited");
}

TEST(ServerTest, EnforceIndexTexts) {
  TestCluster cluster;
  auto request = registration(test_job("web", 1));
  request.set_enforce_index(true);
  request.set_job_modify_index(7);
  EXPECT_EQ(cluster.failure<Method::kJobRegister>(request).message(), "Enforcing job modify index 7: job does not exist");
  request.set_job_modify_index(0);
  const uint64_t index = cluster.call<Method::kJobRegister>(request).job_modify_index();
  EXPECT_EQ(cluster.failure<Method::kJobRegister>(request).message(), "Enforcing job modify index 0: job already exists");
  request.set_job_modify_index(index + 5);
  const endpoint::Failure conflict = cluster.failure<Method::kJobRegister>(request);
  EXPECT_EQ(conflict.message(), "Enforcing job modify index " + std::to_string(index + 5) + ": job exists with conflicting job modify index: " + std::to_string(index));
  EXPECT_EQ(conflict.http_status(), 500);
  request.set_job_modify_index(index);
  cluster.call<Method::kJobRegister>(request);
}

TEST(ServerTest, BadJobsAreRefused) {
  TestCluster cluster;
  schema::Job job = test_job("web", 1);
  job.mutable_task_groups(0)->clear_tasks();
  EXPECT_NE(cluster.failure<Method::kJobRegister>(registration(job)).message().find("error"), std::string::npos);
  EXPECT_EQ(cluster.failure<Method::kJobRegister>({}).message(), "missing job for registration");
  job = test_job("web", 1);
  job.set_node_pool("nowhere");
  EXPECT_EQ(cluster.failure<Method::kJobRegister>(registration(job)).message(), "job \"web\" is in nonexistent node pool \"nowhere\"");
  EXPECT_EQ(cluster.snapshot().job_count(), 0U);
}

TEST(ServerTest, StoppedAndPurgedJobs) {
  TestCluster cluster;
  const std::string node = cluster.add_node();
  cluster.call<Method::kJobRegister>(registration(test_job("web", 2)));
  cluster.settle();
  cluster.obey(node);
  schema::JobDeregisterRequest stop;
  stop.set_job_id("web");
  EXPECT_FALSE(cluster.call<Method::kJobDeregister>(stop).eval_id().empty());
  cluster.settle();
  cluster.obey(node);
  for (const auto& alloc : cluster.allocs("web")) EXPECT_EQ(alloc.client_status(), "complete");
  EXPECT_EQ(cluster.snapshot().job("default", "web")->status(), state::JobStatus::kDead);
  stop.set_purge(true);
  cluster.call<Method::kJobDeregister>(stop);
  EXPECT_FALSE(cluster.snapshot().job("default", "web"));
  EXPECT_TRUE(cluster.call<Method::kJobDeregister>(stop).eval_id().empty()) << "an unknown job is stopped already";
}

TEST(ServerTest, SilentNodeLosesItsAllocs) {
  TestCluster cluster;
  const std::string silent = cluster.add_node("a");
  cluster.call<Method::kJobRegister>(registration(test_job("web", 2)));
  cluster.settle();
  cluster.obey(silent);
  const std::string other = cluster.add_node("b");
  for (int i = 0; i < 10; ++i) {
    cluster.run_for(5s);
    cluster.heartbeat(other);
  }
  cluster.settle();
  EXPECT_EQ(cluster.snapshot().node(*NodeId::parse(silent))->status(), state::NodeStatus::kDown);
  EXPECT_EQ(cluster.snapshot().node(*NodeId::parse(other))->status(), state::NodeStatus::kReady);
  std::map<std::string, int> where;
  for (const auto& alloc : cluster.allocs("web")) {
    if (alloc.desired_status() == "run" && alloc.client_status() != "lost") ++where[alloc.node_id()];
  }
  EXPECT_EQ(where, (std::map<std::string, int>{{other, 2}}));
  // It comes back, and is believed once it has told of its allocs.
  cluster.heartbeat(silent);
  cluster.heartbeat(silent);
  EXPECT_EQ(cluster.snapshot().node(*NodeId::parse(silent))->status(), state::NodeStatus::kReady);
}

TEST(ServerTest, FailedAllocIsRescheduled) {
  TestCluster cluster;
  const std::string node = cluster.add_node();
  schema::Job job = test_job("web", 1);
  job.mutable_task_groups(0)->mutable_reschedule_policy()->set_unlimited(true);
  job.mutable_task_groups(0)->mutable_reschedule_policy()->set_delay(5'000'000'000);
  job.mutable_task_groups(0)->mutable_reschedule_policy()->set_delay_function("constant");
  job.mutable_task_groups(0)->mutable_update()->set_max_parallel(0);
  cluster.call<Method::kJobRegister>(registration(job));
  cluster.settle();
  ASSERT_EQ(cluster.allocs("web").size(), 1U);
  const std::string first = cluster.allocs("web")[0].id();
  cluster.report(node, first, "failed");
  cluster.run_for(20s);
  cluster.heartbeat(node);
  cluster.settle();
  ASSERT_EQ(cluster.allocs("web").size(), 2U);
  for (const auto& alloc : cluster.allocs("web")) {
    if (alloc.id() != first) EXPECT_EQ(alloc.previous_allocation(), first);
  }
}

TEST(ServerTest, NodeSecretsAreChecked) {
  TestCluster cluster;
  const std::string node = cluster.add_node();
  schema::NodeUpdateStatusRequest status;
  status.set_node_id(node);
  status.set_secret_id("wrong");
  status.set_status("ready");
  EXPECT_EQ(cluster.failure<Method::kNodeUpdateStatus>(status).message(), "node secret ID does not match");
  status.set_node_id("4b5ff1ea-0000-4000-8000-000000000000");
  EXPECT_EQ(cluster.failure<Method::kNodeUpdateStatus>(status).message(), "node not found");
  schema::NodeRegisterRequest again;
  *again.mutable_node() = cluster.snapshot().node(*NodeId::parse(node))->decode();
  again.mutable_node()->set_secret_id("wrong");
  EXPECT_EQ(cluster.failure<Method::kNodeRegister>(again).message(), "node secret ID does not match. Not registering node.");
  EXPECT_TRUE(cluster.call<Method::kNodeGetNode>(about_node(node)).node().secret_id().empty());
}

io::Task<void> wait_for_job(TestCluster& cluster, uint64_t after, Duration wait, uint64_t& index, MonoTime& answered) {
  schema::JobSpecificRequest request;
  request.set_job_id("web");
  request.mutable_query()->set_min_query_index(after);
  request.mutable_query()->set_max_query_time_ns(wait.count());
  auto reply = co_await cluster.dispatcher->call<Method::kJobGetJob>(request, cluster.context());
  EXPECT_TRUE(reply.ok());
  index = (*reply)->meta().index();
  answered = cluster.loop.now();
}

TEST(ServerTest, BlockingQueriesWakeOnTheirChangeOnly) {
  TestCluster cluster;
  const uint64_t index = cluster.call<Method::kJobRegister>(registration(test_job("web", 1))).job_modify_index();
  cluster.settle();
  schema::JobSpecificRequest about_job;
  about_job.set_job_id("web");
  const uint64_t now_at = cluster.call<Method::kJobGetJob>(about_job).meta().index();
  EXPECT_GE(now_at, index);
  uint64_t got = 0;
  MonoTime answered;
  const MonoTime began = cluster.loop.now();
  bool finished = false;
  io::start_root(cluster.loop, wait_for_job(cluster, now_at, 60s, got, answered), [&] { finished = true; });
  cluster.run_for(2s);
  cluster.call<Method::kJobRegister>(registration(test_job("other", 1)));
  cluster.run_for(2s);
  EXPECT_FALSE(finished) << "woken by another job";
  const uint64_t changed = cluster.call<Method::kJobRegister>(registration(test_job("web", 2))).job_modify_index();
  EXPECT_TRUE(cluster.loop.run_until([&] { return finished; }, 1s));
  EXPECT_GE(got, changed);
  EXPECT_LT(answered - began, 10s);
  // Nothing changes: the same answer after the wait, and at most a sixteenth more.
  finished = false;
  const MonoTime again = cluster.loop.now();
  cluster.settle();
  const uint64_t last = cluster.call<Method::kJobGetJob>(about_job).meta().index();
  io::start_root(cluster.loop, wait_for_job(cluster, last, 16s, got, answered), [&] { finished = true; });
  EXPECT_TRUE(cluster.loop.run_until([&] { return finished; }, 60s));
  EXPECT_EQ(got, last);
  EXPECT_GE(answered - again, 16s);
  EXPECT_LE(answered - again, 19s);
}

TEST(ServerTest, ListsArePaged) {
  TestCluster cluster;
  for (const char* id : {"a", "b", "c", "d", "e"}) cluster.call<Method::kJobRegister>(registration(test_job(id, 1)));
  for (const bool reverse : {false, true}) {
    schema::JobListRequest list;
    list.mutable_query()->set_per_page(2);
    list.mutable_query()->set_reverse(reverse);
    std::string seen;
    int pages = 0;
    do {
      const auto page = cluster.call<Method::kJobList>(list);
      for (const auto& job : page.jobs()) seen += job.id();
      list.mutable_query()->set_next_token(page.meta().next_token());
      ++pages;
    } while (!list.query().next_token().empty() && pages < 10);
    EXPECT_EQ(seen, reverse ? "edcba" : "abcde");
    EXPECT_EQ(pages, 3);
  }
  schema::JobListRequest prefixed;
  prefixed.mutable_query()->set_prefix("c");
  EXPECT_EQ(cluster.call<Method::kJobList>(prefixed).jobs_size(), 1);
  prefixed.mutable_query()->set_filter("ID == \"c\"");
  EXPECT_EQ(cluster.failure<Method::kJobList>(prefixed).http_status(), 400);
  schema::EvalListRequest evals;
  evals.mutable_query()->set_per_page(2);
  std::set<std::string> ids;
  do {
    const auto page = cluster.call<Method::kEvalList>(evals);
    for (const auto& eval : page.evaluations()) EXPECT_TRUE(ids.insert(eval.id()).second);
    evals.mutable_query()->set_next_token(page.meta().next_token());
  } while (!evals.query().next_token().empty());
  EXPECT_EQ(ids.size(), static_cast<size_t>(cluster.call<Method::kEvalCount>({}).count()));
  schema::AllocListRequest odd;
  odd.mutable_query()->set_prefix("abc");
  EXPECT_EQ(cluster.failure<Method::kAllocList>(odd).message(), "Input (without hyphens) must be even length");
  schema::AllocSpecificRequest cut;
  cut.set_alloc_id("abcd");
  EXPECT_EQ(cluster.failure<Method::kAllocGetAlloc>(cut).message(), "alloc lookup failed: index error: UUID must be 36 characters");
}

TEST(ServerTest, PlanShowsWithoutDoing) {
  TestCluster cluster;
  cluster.add_node();
  schema::JobPlanRequest plan;
  *plan.mutable_job() = test_job("web", 3);
  plan.set_diff(true);
  auto reply = cluster.call<Method::kJobPlan>(plan);
  EXPECT_EQ(reply.annotations().desired_tg_updates().at("web").place(), 3U);
  EXPECT_EQ(reply.job_modify_index(), 0U);
  EXPECT_EQ(reply.diff().type(), "Added");
  EXPECT_EQ(reply.diff().task_groups(0).updates().at("create"), 3U);
  EXPECT_EQ(cluster.snapshot().job_count(), 0U);
  EXPECT_EQ(cluster.snapshot().alloc_count(), 0U);
  cluster.call<Method::kJobRegister>(registration(test_job("web", 3)));
  cluster.settle();
  *plan.mutable_job() = test_job("web", 50);
  reply = cluster.call<Method::kJobPlan>(plan);
  EXPECT_GT(reply.job_modify_index(), 0U);
  EXPECT_EQ(reply.diff().type(), "Edited");
  EXPECT_EQ(reply.failed_tg_allocs_size(), 1);
  EXPECT_EQ(cluster.allocs("web").size(), 3U);
}

TEST(ServerTest, RevertBringsAnOldVersionBack) {
  TestCluster cluster;
  cluster.call<Method::kJobRegister>(registration(test_job("web", 1)));
  cluster.call<Method::kJobRegister>(registration(test_job("web", 2)));
  schema::JobRevertRequest revert;
  revert.set_job_id("web");
  revert.set_job_version(9);
  EXPECT_EQ(cluster.failure<Method::kJobRevert>(revert).message(), "job \"web\" in namespace \"default\" at version 9 not found");
  revert.set_job_version(0);
  revert.set_enforce_prior_version(7);
  EXPECT_EQ(cluster.failure<Method::kJobRevert>(revert).message(), "Current job has version 1; enforcing version 7");
  revert.clear_enforce_prior_version();
  cluster.call<Method::kJobRevert>(revert);
  const schema::Job job = cluster.snapshot().job("default", "web")->decode();
  EXPECT_EQ(job.version(), 2U);
  EXPECT_EQ(job.task_groups(0).count(), 1);
}

TEST(ServerTest, WithoutALeaderWritesAreRefused) {
  TestCluster cluster;
  cluster.log.failing = true;
  const endpoint::Failure failure = cluster.failure<Method::kJobRegister>(registration(test_job("web", 1)));
  EXPECT_EQ(failure.message(), "No cluster leader");
  EXPECT_EQ(failure.http_status(), 500);
}

io::Task<void> bounce(Server& server) {
  co_await server.revoke();
  server.establish();
}
TEST(ServerTest, NewLeaderPicksUpWhatWasOpen) {
  TestCluster cluster;
  cluster.call<Method::kJobRegister>(registration(test_job("web", 3)));
  cluster.settle();  // blocked: there is no node
  cluster.run(bounce(*cluster.server));
  cluster.add_node();
  cluster.settle();
  EXPECT_EQ(cluster.allocs("web").size(), 3U);
}

// The log alone makes the state: a second server that applies the same entries has the same digest.
TEST(ServerTest, ReplayGivesTheSameState) {
  TestCluster cluster(7);
  const std::string node = cluster.add_node();
  cluster.call<Method::kJobRegister>(registration(test_job("web", 3)));
  cluster.settle();
  cluster.obey(node);
  state::Store replayed;
  uint64_t index = 0;
  for (const std::string& entry : cluster.log.entries) {
    auto outcome = replayed.apply(++index, load_le<uint32_t>(entry.data() + 4), as_bytes(entry).subspan(kEntryHeader));
    ASSERT_TRUE(outcome.ok());
  }
  EXPECT_EQ(replayed.snapshot().digest(), cluster.snapshot().digest());
}

}  // namespace
}  // namespace steppe::server
