#include "agent/scheduler/plan_check.h"

#include <gtest/gtest.h>

#include "agent/scheduler/test_cluster.h"

namespace steppe::scheduler {
namespace {

size_t count(const google::protobuf::Map<std::string, schema::AllocationList>& lists) {
  size_t out = 0;
  for (const auto& [node, list] : lists) out += static_cast<size_t>(list.items_size());
  return out;
}

TEST(PlanCheck, TwoPlansForOneRoomCommitOnce) {
  TestCluster c;
  c.add_node();
  const auto first = c.submit(TestCluster::job("a", 8));
  const auto second = c.submit(TestCluster::job("b", 8));
  const Outcome one = c.schedule(first);
  const Outcome two = c.schedule(second);  // on the same snapshot: it wants the same room
  EXPECT_TRUE(fully_committed(one.plan, c.commit(one.plan)));
  const schema::PlanResult result = c.commit(two.plan);
  EXPECT_FALSE(fully_committed(two.plan, result));
  EXPECT_EQ(result.rejected_nodes_size(), 1);
  EXPECT_GT(result.refresh_index(), two.plan.snapshot_index());
  EXPECT_EQ(count(result.node_allocation()), 0U);
  EXPECT_TRUE(c.live("b").empty());
  // On the newer state it learns that there is no room.
  const Outcome again = c.run(second);
  EXPECT_TRUE(again.blocked);
}

TEST(PlanCheck, PartialCommitKeepsTheGoodNodes) {
  for (const bool all_at_once : {false, true}) {
    TestCluster c;
    c.add_node();
    c.add_node();
    schema::Job job = TestCluster::job("a", 16);
    job.set_all_at_once(all_at_once);
    const Outcome out = c.schedule(c.submit(job));
    ASSERT_EQ(out.plan.node_allocation().size(), 2U);
    c.set_status(out.plan.node_allocation().begin()->first, "down");
    const schema::PlanResult result = c.commit(out.plan);
    EXPECT_EQ(count(result.node_allocation()), all_at_once ? 0U : 8U);
    EXPECT_GT(result.refresh_index(), 0U);
    EXPECT_EQ(result.rejected_nodes_size(), 1);
  }
}

TEST(PlanCheck, NodesThatChangedInBetween) {
  struct Case {
    const char* name;
    std::function<void(TestCluster&, const std::string&)> change;
    bool ok;
  };
  const Case cases[] = {
      {"nothing", [](TestCluster&, const std::string&) {}, true},
      {"down", [](TestCluster& c, const std::string& id) { c.set_status(id, "down"); }, false},
      {"disconnected", [](TestCluster& c, const std::string& id) { c.set_status(id, "disconnected"); }, false},
      {"initializing", [](TestCluster& c, const std::string& id) { c.set_status(id, "initializing"); }, false},
      {"ineligible",
       [](TestCluster& c, const std::string& id) {
         schema::LogNodeEligibility command;
         command.set_node_id(id), command.set_eligibility("ineligible");
         c.apply(schema::LOG_NODE_ELIGIBILITY, command);
       },
       false},
      {"gone",
       [](TestCluster& c, const std::string& id) {
         schema::LogNodeDeregister command;
         command.add_node_ids(id);
         c.apply(schema::LOG_NODE_DEREGISTER, command);
       },
       false},
  };
  for (const Case& t : cases) {
    TestCluster c;
    const std::string id = c.add_node();
    const Outcome out = c.schedule(c.submit(TestCluster::job("a", 1)));
    t.change(c, id);
    const schema::PlanResult result = evaluate_plan(c.snapshot(), out.plan);
    EXPECT_EQ(fully_committed(out.plan, result), t.ok) << t.name;
  }
}

TEST(PlanCheck, StopsAndUpdatesPassOnNodesThatTakeNothingNew) {
  TestCluster c;
  const std::string id = c.add_node();
  schema::Job job = TestCluster::job("a", 2);
  c.run(c.submit(job));
  schema::LogNodeEligibility command;
  command.set_node_id(id), command.set_eligibility("ineligible");
  c.apply(schema::LOG_NODE_ELIGIBILITY, command);
  job.set_priority(60);  // in place
  Outcome out = c.schedule(c.submit(job));
  EXPECT_EQ(count(out.plan.node_allocation()), 2U);
  EXPECT_TRUE(fully_committed(out.plan, c.commit(out.plan)));
  c.set_status(id, "down");
  job.set_stop(true);
  out = c.schedule(c.submit(job));
  EXPECT_EQ(count(out.plan.node_update()), 2U);
  EXPECT_TRUE(fully_committed(out.plan, c.commit(out.plan)));
}

TEST(PlanCheck, ADoublePortIsRefused) {
  TestCluster c;
  c.add_node();
  schema::Job job = TestCluster::job("a", 1);
  auto& port = *job.mutable_task_groups(0)->add_networks()->add_reserved_ports();
  port.set_label("http"), port.set_value(8080);
  schema::Job other = job;
  other.set_id("b");
  const auto first = c.submit(job);
  const auto second = c.submit(other);
  const Outcome one = c.schedule(first);
  const Outcome two = c.schedule(second);
  EXPECT_TRUE(fully_committed(one.plan, c.commit(one.plan)));
  EXPECT_FALSE(fully_committed(two.plan, c.commit(two.plan)));
}

TEST(PlanCheck, DeploymentGoesWithItsCanaries) {
  TestCluster c;
  const std::string one = c.add_node();
  schema::Job job = TestCluster::job("a", 2);
  job.mutable_task_groups(0)->mutable_update()->set_max_parallel(1);
  job.mutable_task_groups(0)->mutable_update()->set_canary(1);
  c.run(c.submit(job));
  (*job.mutable_task_groups(0)->mutable_tasks(0)->mutable_env())["A"] = "b";
  const Outcome out = c.schedule(c.submit(job));
  ASSERT_TRUE(out.plan.has_deployment());
  EXPECT_TRUE(evaluate_plan(c.snapshot(), out.plan).has_deployment());
  c.set_status(one, "down");
  EXPECT_FALSE(evaluate_plan(c.snapshot(), out.plan).has_deployment());
}

TEST(PlanCheck, NoPlacedAllocNamesAMissingDeployment) {
  TestCluster c;
  for (int i = 0; i < 2; ++i) c.add_node();
  schema::Job job = TestCluster::job("a", 4);
  job.mutable_task_groups(0)->mutable_update()->set_max_parallel(1);
  job.mutable_task_groups(0)->mutable_update()->set_canary(2);
  job.add_constraints()->set_operand("distinct_property");
  job.mutable_constraints(0)->set_l_target("${node.unique.id}");
  job.mutable_constraints(0)->set_r_target("3");  // two old ones and a canary on each node
  c.run(c.submit(job));
  (*job.mutable_task_groups(0)->mutable_tasks(0)->mutable_env())["A"] = "b";
  const Outcome out = c.schedule(c.submit(job));
  ASSERT_EQ(out.plan.node_allocation().size(), 2U);
  c.set_status(out.plan.node_allocation().begin()->first, "down");
  const schema::PlanResult result = evaluate_plan(c.snapshot(), out.plan);
  EXPECT_EQ(count(result.node_allocation()), 1U);
  EXPECT_TRUE(result.has_deployment());
}

// A rolling replacement hands a static port over while the old one winds down; the node stays usable.
TEST(PlanCheck, HandedOverPortsDoNotBlockTheNode) {
  TestCluster c;
  c.add_node();
  schema::Job job = TestCluster::job("a", 1);
  auto& port = *job.mutable_task_groups(0)->add_networks()->add_reserved_ports();
  port.set_label("http"), port.set_value(8080);
  c.run(c.submit(job));
  c.report(c.live("a")[0].id(), "running");
  (*job.mutable_task_groups(0)->mutable_tasks(0)->mutable_env())["A"] = "b";
  c.run(c.submit(job));
  ASSERT_EQ(c.live("a").size(), 1U);
  c.run(c.submit(TestCluster::job("b", 1)));  // run() expects that all of it is committed
  EXPECT_EQ(c.live("b").size(), 1U);
}

TEST(Attempts, ResetByProgress) {
  schema::Plan plan;
  (*plan.mutable_node_allocation())["n"].add_items();
  (*plan.mutable_node_allocation())["m"].add_items();
  schema::PlanResult nothing, some;
  (*some.mutable_node_allocation())["n"].add_items();
  schema::PlanResult all;
  *all.mutable_node_allocation() = plan.node_allocation();
  Attempts service("service");
  for (int i = 0; i < 4; ++i) EXPECT_EQ(service.after(plan, nothing), Attempts::Next::kRetry);
  EXPECT_EQ(service.after(plan, some), Attempts::Next::kRetry);  // progress: counts anew
  for (int i = 0; i < 4; ++i) EXPECT_EQ(service.after(plan, nothing), Attempts::Next::kRetry);
  EXPECT_EQ(service.after(plan, nothing), Attempts::Next::kGiveUp);
  Attempts batch("batch");
  EXPECT_EQ(batch.after(plan, nothing), Attempts::Next::kRetry);
  EXPECT_EQ(batch.after(plan, nothing), Attempts::Next::kGiveUp);
  EXPECT_EQ(Attempts("service").after(plan, all), Attempts::Next::kDone);
  Outcome last;
  last.eval.set_id("e");
  const GiveUp up = give_up(last.eval, last, 5, {});
  EXPECT_EQ(up.eval.status(), "failed");
  EXPECT_EQ(up.eval.status_description(), "maximum attempts reached (5)");
  EXPECT_EQ(up.blocked.triggered_by(), "max-plan-attempts");
}

}  // namespace
}  // namespace steppe::scheduler
