#include "agent/server/plan_applier.h"

#include <gtest/gtest.h>

#include "agent/model/canonicalize.h"
#include "agent/schema/log.pb.h"
#include "agent/schema/node.pb.h"
#include "agent/schema/plan.pb.h"
#include "agent/server/test_cluster.h"

namespace steppe::server {
namespace {

using namespace std::chrono_literals;

// A leader's core without its duties: what is proposed takes some time, and is applied.
class ApplierTest : public ::testing::Test, public Proposer {
 protected:
  ApplierTest() { core_.commands.set_proposer(this); }

  io::Task<Result<uint64_t>> propose(std::string entry, Patience) override {
    ++in_flight_;
    most_in_flight_ = std::max(most_in_flight_, in_flight_);
    static_cast<void>(co_await io::sleep_for(loop_, 10ms, {}));
    --in_flight_;
    const uint64_t index = ++index_;
    EXPECT_TRUE(core_.commands.apply(index, as_bytes(entry)).ok());
    co_return index;
  }

  void store(uint32_t type, const google::protobuf::Message& command) {
    std::string bytes = command.SerializeAsString();
    auto outcome = core_.store.apply(++index_, type, as_bytes(bytes));
    ASSERT_TRUE(outcome.ok() && !outcome->refused) << (outcome.ok() ? outcome->refused->message() : outcome.error().message());
  }

  NodeId add_node() {
    schema::LogNodeRegister command;
    schema::Node& node = *command.mutable_node();
    node.set_id(NodeId::random(rng_).text());
    node.set_secret_id("s");
    node.set_name("n");
    node.set_datacenter("dc1");
    node.set_node_pool("default");
    node.set_status("ready");
    node.set_scheduling_eligibility("eligible");
    node.mutable_node_resources()->mutable_cpu()->set_cpu_shares(1000);
    node.mutable_node_resources()->mutable_memory()->set_memory_mb(1000);
    node.mutable_node_resources()->mutable_disk()->set_disk_mb(10'000);
    store(schema::LOG_NODE_REGISTER, command);
    return *NodeId::parse(node.id());
  }

  // A delivered evaluation of a registered job, and a plan that puts one alloc of `cpu` on the node.
  schema::Plan plan(const std::string& job_id, const NodeId& node, int64_t cpu, int64_t priority = 50) {
    schema::LogJobRegister command;
    *command.mutable_job() = test_job(job_id);
    model::canonicalize(command.mutable_job());
    *command.mutable_eval() = new_eval(core_, "default", job_id, "service", priority, "job-register");
    store(schema::LOG_JOB_REGISTER, command);
    track_eval(core_, core_.store.snapshot().eval(*EvalId::parse(command.eval().id()))->decode());
    const auto delivery = core_.broker.dequeue({state::JobType::kService}, loop_.now());
    schema::Plan plan;
    plan.set_eval_id(delivery->id.text());
    plan.set_eval_token(delivery->token.text());
    plan.set_priority(priority);
    *plan.mutable_job() = core_.store.snapshot().job("default", job_id)->decode();
    schema::Allocation& alloc = *(*plan.mutable_node_allocation())[node.text()].add_items();
    alloc.set_id(AllocId::random(rng_).text());
    alloc.set_namespace_("default");
    alloc.set_eval_id(plan.eval_id());
    alloc.set_name(job_id + ".web[0]");
    alloc.set_node_id(node.text());
    alloc.set_job_id(job_id);
    alloc.set_task_group("web");
    alloc.set_desired_status("run");
    alloc.set_client_status("pending");
    *alloc.mutable_job() = plan.job();
    auto& task = (*alloc.mutable_allocated_resources()->mutable_tasks())["main"];
    task.mutable_cpu()->set_cpu_shares(cpu);
    task.mutable_memory()->set_memory_mb(10);
    return plan;
  }

  struct Got {
    endpoint::Outcome<std::unique_ptr<schema::PlanResult>> result = endpoint::no_cluster_leader();
    bool done = false;
  };
  io::Task<void> submit(const schema::Plan& plan, Got& got) {
    got.result = co_await applier_.submit(plan, {});
    got.done = true;
  }
  void run_all(std::initializer_list<std::pair<const schema::Plan*, Got*>> plans) {
    io::Scope scope(loop_);
    for (const auto& [plan, got] : plans) scope.spawn(submit(*plan, *got));
    EXPECT_TRUE(loop_.run_until([&] { return scope.running() == 0; }, 1min));
  }

  SeededRng rng_{3};
  sim::SimLoop loop_{rng_};
  telemetry::Registry metrics_{loop_};
  Core core_{loop_, rng_, log::Logger(), metrics_, Settings{}};
  PlanApplier applier_{core_};
  uint64_t index_ = 0;
  int in_flight_ = 0;
  int most_in_flight_ = 0;
};

TEST_F(ApplierTest, SecondPlanForAFullNodeIsCut) {
  core_.leader = true;
  const NodeId node = add_node();
  const schema::Plan first = plan("a", node, 600);
  const schema::Plan second = plan("b", node, 600);
  Got one, two;
  run_all({{&first, &one}, {&second, &two}});
  ASSERT_TRUE(one.result.ok() && two.result.ok());
  EXPECT_EQ((*one.result)->refresh_index(), 0U);
  EXPECT_GT((*two.result)->refresh_index(), 0U);
  EXPECT_EQ((*two.result)->node_allocation_size(), 0);
  EXPECT_EQ(core_.store.snapshot().allocs_by_node(node).size(), 1U);
  EXPECT_EQ(most_in_flight_, 1);
}

TEST_F(ApplierTest, PlansForOtherNodesOverlap) {
  core_.leader = true;
  const NodeId here = add_node();
  const NodeId there = add_node();
  const schema::Plan first = plan("a", here, 600);
  const schema::Plan second = plan("b", there, 600);
  Got one, two;
  run_all({{&first, &one}, {&second, &two}});
  ASSERT_TRUE(one.result.ok() && two.result.ok());
  EXPECT_EQ((*two.result)->refresh_index(), 0U);
  EXPECT_EQ(most_in_flight_, 2);
  EXPECT_EQ(core_.store.snapshot().alloc_count(), 2U);
}

TEST_F(ApplierTest, UrgentPlansGoFirst) {
  core_.leader = true;
  const NodeId node = add_node();
  const schema::Plan running = plan("a", node, 100);
  const schema::Plan patient = plan("b", node, 600, 20);
  const schema::Plan urgent = plan("c", node, 600, 90);
  Got one, two, three;
  run_all({{&running, &one}, {&patient, &two}, {&urgent, &three}});
  EXPECT_EQ((*three.result)->refresh_index(), 0U);
  EXPECT_GT((*two.result)->refresh_index(), 0U);
}

TEST_F(ApplierTest, OnlyTheHolderOfAnEvaluationMayPlan) {
  core_.leader = true;
  const NodeId node = add_node();
  schema::Plan stale = plan("a", node, 100);
  stale.set_eval_token(Uuid::random(rng_).text());
  Got got;
  run_all({{&stale, &got}});
  EXPECT_EQ(got.result.error().code(), Code::kDenied);
  core_.leader = false;
  const schema::Plan late = plan("b", node, 100);
  Got refused;
  run_all({{&late, &refused}});
  EXPECT_EQ(refused.result.error().message(), "No cluster leader");
  EXPECT_EQ(core_.store.snapshot().alloc_count(), 0U);
}

TEST(PlanCommandsTest, LargePlansAreSplitInOrder) {
  schema::Plan plan;
  *plan.mutable_job() = test_job("web");
  plan.set_eval_id("e");
  schema::PlanResult result;
  result.mutable_deployment()->set_id("d");
  for (int node = 0; node < 20; ++node) {
    const std::string name = "node" + std::to_string(node);
    for (int i = 0; i < 10; ++i) {
      (*result.mutable_node_update())[name].add_items()->set_id("stop" + name + std::to_string(i));
      schema::Allocation& placed = *(*result.mutable_node_allocation())[name].add_items();
      placed.set_id("place" + name + std::to_string(i));
      *placed.mutable_job() = plan.job();
    }
  }
  const auto whole = plan_commands(plan, result, 7, Bytes::mib(3));
  ASSERT_EQ(whole.size(), 1U);
  EXPECT_EQ(whole[0].allocs_updated_size(), 200);
  EXPECT_FALSE(whole[0].allocs_updated(0).has_job());
  const auto parts = plan_commands(plan, result, 7, Bytes::kib(1));
  EXPECT_GT(parts.size(), 3U);
  int stopped = 0;
  int placed = 0;
  for (const schema::LogPlanApply& part : parts) {
    EXPECT_LE(part.ByteSizeLong(), 1200U);
    EXPECT_EQ(part.has_deployment(), &part == &parts.front());
    EXPECT_EQ(part.job().id(), "web");
    if (part.allocs_stopped_size() > 0) EXPECT_EQ(placed, 0) << "a stop after a placement";
    stopped += part.allocs_stopped_size();
    placed += part.allocs_updated_size();
  }
  EXPECT_EQ(stopped, 200);
  EXPECT_EQ(placed, 200);
}

}  // namespace
}  // namespace steppe::server
