#include "agent/scheduler/scheduler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "agent/scheduler/test_cluster.h"

namespace steppe::scheduler {
namespace {

constexpr int64_t kSecond = TestCluster::kSecond;

std::map<std::string, int> by_node(const std::vector<schema::Allocation>& allocs) {
  std::map<std::string, int> out;
  for (const auto& alloc : allocs) ++out[alloc.node_id()];
  return out;
}

TEST(Schedule, PlacesAllAndCompletes) {
  TestCluster c;
  for (int i = 0; i < 4; ++i) c.add_node();
  const Outcome out = c.run(c.submit(TestCluster::job("a", 6)));
  EXPECT_EQ(out.eval.status(), "complete");
  EXPECT_FALSE(out.blocked);
  EXPECT_EQ(out.eval.queued_allocations().at("web"), 0);
  const auto live = c.live("a");
  ASSERT_EQ(live.size(), 6U);
  std::set<std::string> names;
  for (const auto& alloc : live) {
    names.insert(alloc.name());
    EXPECT_EQ(alloc.desired_status(), "run");
    EXPECT_EQ(alloc.client_status(), "pending");
    EXPECT_FALSE(alloc.node_name().empty());
    const auto& task = alloc.allocated_resources().tasks().at("server");
    EXPECT_EQ(task.cpu().cpu_shares(), 500);
    EXPECT_EQ(task.memory().memory_mb(), 256);
    EXPECT_EQ(alloc.allocated_resources().shared().disk_mb(), 300);
    EXPECT_EQ(alloc.metrics().nodes_evaluated(), 4);
    ASSERT_GE(alloc.metrics().score_meta_data_size(), 1);
    EXPECT_TRUE(alloc.metrics().score_meta_data(0).scores().contains("binpack"));
  }
  EXPECT_EQ(names.size(), 6U);
  // Nothing to do the second time.
  const Outcome again = c.run(c.evaluation("a", "service", "job-register"));
  EXPECT_TRUE(again.plan_empty);
}

TEST(Schedule, SpreadAlgorithmPrefersEmptyNodes) {
  TestCluster c;
  for (int i = 0; i < 3; ++i) c.add_node();
  c.config.set_scheduler_algorithm("spread");
  c.run(c.submit(TestCluster::job("a", 1)));
  c.run(c.submit(TestCluster::job("b", 1)));
  EXPECT_NE(c.live("a")[0].node_id(), c.live("b")[0].node_id());
  TestCluster packed;
  for (int i = 0; i < 3; ++i) packed.add_node();
  packed.run(packed.submit(TestCluster::job("a", 1)));
  packed.run(packed.submit(TestCluster::job("b", 1)));
  EXPECT_EQ(packed.live("a")[0].node_id(), packed.live("b")[0].node_id());
}

TEST(Schedule, NoRoomMakesABlockedEvaluation) {
  TestCluster c;
  c.add_node([](schema::Node& node) { node.set_node_class("small"); });
  const Outcome out = c.run(c.submit(TestCluster::job("a", 10)));  // 8 fit by cpu
  EXPECT_EQ(out.eval.status(), "complete");
  EXPECT_EQ(c.live("a").size(), 8U);
  ASSERT_TRUE(out.blocked);
  EXPECT_EQ(out.blocked->status(), "blocked");
  EXPECT_EQ(out.blocked->triggered_by(), "queued-allocs");
  EXPECT_EQ(out.eval.blocked_eval(), out.blocked->id());
  EXPECT_EQ(out.eval.queued_allocations().at("web"), 2);
  const auto& metric = out.eval.failed_tg_allocs().at("web");
  EXPECT_EQ(metric.nodes_exhausted(), 1);
  EXPECT_EQ(metric.dimension_exhausted().at("cpu"), 1);
  EXPECT_EQ(metric.class_exhausted().at("small"), 1);
  EXPECT_EQ(metric.coalesced_failures(), 1);
  ASSERT_EQ(out.blocked->class_eligibility().size(), 1U);
  EXPECT_TRUE(out.blocked->class_eligibility().begin()->second);
  // It is woken up while nothing changed: it goes on waiting.
  schema::Evaluation woken = *out.blocked;
  const Outcome second = c.run(woken);
  EXPECT_TRUE(second.reblock);
  EXPECT_EQ(second.eval.status(), "blocked");
  EXPECT_FALSE(second.blocked);
  // With a new node it finishes.
  c.add_node();
  const Outcome third = c.run(woken);
  EXPECT_EQ(third.eval.status(), "complete");
  EXPECT_EQ(c.live("a").size(), 10U);
}

struct FilterCase {
  const char* name;
  std::function<void(schema::Job&)> change;
  const char* reason;
};

std::function<void(schema::Job&)> constrain(std::string_view left, std::string_view operand, std::string_view right) {
  return [=](schema::Job& job) {
    auto& c = *job.mutable_task_groups(0)->add_constraints();
    c.set_l_target(std::string(left)), c.set_operand(std::string(operand)), c.set_r_target(std::string(right));
  };
}

std::vector<FilterCase> filter_cases() {
  return {
      {"equal", constrain("${attr.kernel.name}", "=", "windows"), "${attr.kernel.name} = windows"},
      {"not equal", constrain("${attr.kernel.name}", "!=", "linux"), "${attr.kernel.name} != linux"},
      {"less", constrain("${attr.cpu.numcores}", "<", "4"), "${attr.cpu.numcores} < 4"},
      {"version", constrain("${attr.kernel.version}", "version", ">= 7.0"), "${attr.kernel.version} version >= 7.0"},
      {"semver", constrain("${attr.kernel.version}", "semver", "> 6.12.0"), "${attr.kernel.version} semver > 6.12.0"},
      {"regexp", constrain("${attr.kernel.name}", "regexp", "^win"), "${attr.kernel.name} regexp ^win"},
      {"contains", constrain("${meta.tags}", "set_contains", "a,z"), "${meta.tags} set_contains a,z"},
      {"contains any", constrain("${meta.tags}", "set_contains_any", "y,z"), "${meta.tags} set_contains_any y,z"},
      {"is set", constrain("${meta.none}", "is_set", ""), "${meta.none} is_set "},
      {"is not set", constrain("${meta.tags}", "is_not_set", ""), "${meta.tags} is_not_set "},
      {"driver", [](schema::Job& job) { job.mutable_task_groups(0)->mutable_tasks(0)->set_driver("docker"); },
       "missing drivers"},
      {"sick driver", [](schema::Job& job) { job.mutable_task_groups(0)->mutable_tasks(0)->set_driver("qemu"); },
       "missing drivers"},
      {"device",
       [](schema::Job& job) {
         job.mutable_task_groups(0)->mutable_tasks(0)->mutable_resources()->add_devices()->set_name("gpu");
       },
       "missing devices"},
      {"network mode", [](schema::Job& job) { job.mutable_task_groups(0)->add_networks()->set_mode("bridge"); },
       "missing network"},
      {"host network",
       [](schema::Job& job) {
         auto& port = *job.mutable_task_groups(0)->add_networks()->add_dynamic_ports();
         port.set_label("p"), port.set_host_network("dmz");
       },
       "missing host network \"dmz\" for port \"p\""},
      {"host volume",
       [](schema::Job& job) {
         auto& volume = (*job.mutable_task_groups(0)->mutable_volumes())["data"];
         volume.set_type("host"), volume.set_source("data");
       },
       "missing compatible host volumes"},
      {"read-only volume",
       [](schema::Job& job) {
         auto& volume = (*job.mutable_task_groups(0)->mutable_volumes())["data"];
         volume.set_type("host"), volume.set_source("frozen");
       },
       "missing compatible host volumes"},
      {"unique attribute", constrain("${node.unique.name}", "=", "other"), "${node.unique.name} = other"},
  };
}

TEST(Schedule, FilteredNodesAreNamed) {
  for (const FilterCase& f : filter_cases()) {
    TestCluster c;
    for (int i = 0; i < 2; ++i) {
      c.add_node([](schema::Node& node) {
        (*node.mutable_attributes())["cpu.numcores"] = "8";
        (*node.mutable_attributes())["kernel.version"] = "6.12.0";
        (*node.mutable_meta())["tags"] = "a,b";
        (*node.mutable_drivers())["qemu"].set_detected(true);
        (*node.mutable_host_volumes())["frozen"].set_read_only(true);
      });
    }
    schema::Job job = TestCluster::job("a", 1);
    f.change(job);
    const Outcome out = c.run(c.submit(job));
    EXPECT_TRUE(c.live("a").empty()) << f.name;
    ASSERT_TRUE(out.eval.failed_tg_allocs().contains("web")) << f.name;
    const auto& metric = out.eval.failed_tg_allocs().at("web");
    EXPECT_EQ(metric.nodes_filtered(), 2) << f.name;
    ASSERT_EQ(metric.constraint_filtered().size(), 1U) << f.name;
    EXPECT_EQ(metric.constraint_filtered().begin()->first, f.reason) << f.name;
    EXPECT_EQ(metric.constraint_filtered().begin()->second, 2) << f.name;
    EXPECT_EQ(out.blocked->escaped_computed_class(), std::string_view(f.name) == "unique attribute") << f.name;
  }
}

TEST(Schedule, OnlyNodesThatMayTakeIt) {
  TestCluster c;
  const std::string good = c.add_node();
  c.add_node([](schema::Node& n) { n.set_datacenter("eu-1"); });
  c.add_node([](schema::Node& n) { n.set_node_pool("gpu"); });
  c.set_status(c.add_node(), "down");
  c.set_status(c.add_node(), "disconnected");
  schema::LogNodeEligibility command;
  command.set_node_id(c.add_node());
  command.set_eligibility("ineligible");
  c.apply(schema::LOG_NODE_ELIGIBILITY, command);
  schema::Job job = TestCluster::job("a", 4);
  job.set_datacenters(0, "dc*");
  const Outcome out = c.run(c.submit(job));
  const auto live = c.live("a");
  ASSERT_EQ(live.size(), 4U);
  for (const auto& alloc : live) EXPECT_EQ(alloc.node_id(), good);
  EXPECT_EQ(live[0].metrics().nodes_evaluated(), 1);
  EXPECT_EQ(live[0].metrics().nodes_available().at("dc1"), 1);
  EXPECT_EQ(live[0].metrics().nodes_in_pool(), 2);
}

TEST(Schedule, StaticPortsOneToANode) {
  TestCluster c;
  for (int i = 0; i < 3; ++i) c.add_node();
  schema::Job job = TestCluster::job("a", 4);
  auto& port = *job.mutable_task_groups(0)->add_networks()->add_reserved_ports();
  port.set_label("http"), port.set_value(8080);
  const Outcome out = c.run(c.submit(job));
  const auto live = c.live("a");
  ASSERT_EQ(live.size(), 3U);
  EXPECT_EQ(by_node(live).size(), 3U);
  EXPECT_EQ(live[0].allocated_resources().shared().ports(0).value(), 8080);
  EXPECT_EQ(live[0].allocated_resources().shared().ports(0).host_ip(), "10.0.0.1");
  EXPECT_EQ(live[0].allocated_resources().shared().networks(0).reserved_ports(0).value(), 8080);
  const auto& metric = out.eval.failed_tg_allocs().at("web");
  EXPECT_EQ(metric.dimension_exhausted().at("network: reserved port collision http=8080"), 3);
}

TEST(Schedule, AStoppedAllocHoldsItsPortUntilTheClientIsDone) {
  TestCluster c;
  c.add_node();
  schema::Job job = TestCluster::job("a", 1);
  auto& port = *job.mutable_task_groups(0)->add_networks()->add_reserved_ports();
  port.set_label("http"), port.set_value(8080);
  c.run(c.submit(job));
  const std::string old = c.live("a")[0].id();
  c.report(old, "running");
  job.set_stop(true);
  c.run(c.submit(job));
  EXPECT_TRUE(c.live("a").empty());
  schema::Job other = job;
  other.set_id("b"), other.set_stop(false);
  const Outcome blocked = c.run(c.submit(other));
  EXPECT_TRUE(c.live("b").empty());
  ASSERT_TRUE(blocked.blocked);
  c.report(old, "complete");
  c.run(*blocked.blocked);
  EXPECT_EQ(c.live("b").size(), 1U);
}

TEST(Schedule, CoresAreReservedWhole) {
  TestCluster c;
  c.add_node([](schema::Node& node) {
    for (uint64_t i = 0; i < 4; ++i) {
      auto& core = *node.mutable_node_resources()->mutable_processors()->mutable_topology()->add_cores();
      core.set_id(i);
      core.set_base_speed(1000);
      node.mutable_node_resources()->mutable_cpu()->add_reservable_cpu_cores(i);
    }
    node.mutable_reserved_resources()->mutable_cpu()->add_reserved_cpu_cores(0);
    node.mutable_reserved_resources()->mutable_cpu()->set_cpu_shares(1000);
  });
  schema::Job job = TestCluster::job("a", 2);
  auto& resources = *job.mutable_task_groups(0)->mutable_tasks(0)->mutable_resources();
  resources.clear_cpu();
  resources.set_cores(2);
  const Outcome out = c.run(c.submit(job));
  const auto live = c.live("a");
  ASSERT_EQ(live.size(), 1U);  // 3 cores are left
  const auto& cpu = live[0].allocated_resources().tasks().at("server").cpu();
  EXPECT_EQ(cpu.cpu_shares(), 2000);
  EXPECT_EQ((std::vector<uint64_t>(cpu.reserved_cores().begin(), cpu.reserved_cores().end())), (std::vector<uint64_t>{1, 2}));
}

TEST(Schedule, DistinctHostsAndProperty) {
  TestCluster c;
  for (int i = 0; i < 4; ++i) {
    c.add_node([&](schema::Node& n) { (*n.mutable_meta())["rack"] = i < 2 ? "r1" : "r2"; });
  }
  schema::Job hosts = TestCluster::job("hosts", 5);
  hosts.add_constraints()->set_operand("distinct_hosts");
  c.run(c.submit(hosts));
  EXPECT_EQ(c.live("hosts").size(), 4U);
  EXPECT_EQ(by_node(c.live("hosts")).size(), 4U);
  schema::Job racks = TestCluster::job("racks", 5);
  auto& constraint = *racks.add_constraints();
  constraint.set_operand("distinct_property"), constraint.set_l_target("${meta.rack}"), constraint.set_r_target("2");
  const Outcome out = c.run(c.submit(racks));
  EXPECT_EQ(c.live("racks").size(), 4U);
  EXPECT_EQ(out.eval.failed_tg_allocs().at("web").constraint_filtered().at("distinct_property: ${meta.rack}=2"), 4);
}

TEST(Schedule, SpreadByPercentAndAffinity) {
  TestCluster c;
  for (int i = 0; i < 10; ++i) c.add_node([&](schema::Node& n) { n.set_datacenter(i < 5 ? "dc1" : "dc2"); });
  schema::Job job = TestCluster::job("a", 10);
  auto& spread = *job.add_spreads();
  spread.set_attribute("${node.datacenter}"), spread.set_weight(100);
  auto& first = *spread.add_spread_target();
  first.set_value("dc1"), first.set_percent(70);
  auto& second = *spread.add_spread_target();
  second.set_value("dc2"), second.set_percent(30);
  c.run(c.submit(job));
  std::map<std::string, int> per_dc;
  const auto at = c.snapshot();
  for (const auto& alloc : c.live("a")) ++per_dc[std::string(at.node(*NodeId::parse(alloc.node_id()))->datacenter())];
  EXPECT_EQ(per_dc["dc1"], 7);
  EXPECT_EQ(per_dc["dc2"], 3);
  schema::Job liked = TestCluster::job("b", 4);
  auto& affinity = *liked.add_affinities();
  affinity.set_l_target("${node.datacenter}"), affinity.set_operand("="), affinity.set_r_target("dc2"), affinity.set_weight(100);
  c.run(c.submit(liked));
  for (const auto& alloc : c.live("b")) EXPECT_EQ(at.node(*NodeId::parse(alloc.node_id()))->datacenter(), "dc2");
}

TEST(Schedule, InPlaceKeepsTheAllocDestructiveReplacesIt) {
  TestCluster c;
  for (int i = 0; i < 2; ++i) c.add_node();
  schema::Job job = TestCluster::job("a", 2);
  c.run(c.submit(job));
  const auto before = c.live("a");
  job.mutable_task_groups(0)->set_count(3);
  const Outcome out = c.run(c.submit(job));
  auto after = c.live("a");
  EXPECT_EQ(after.size(), 3U);
  for (const auto& alloc : before) {
    const auto it = std::ranges::find(after, alloc.id(), [](const auto& a) { return a.id(); });
    ASSERT_NE(it, after.end());
    EXPECT_EQ(it->job().version(), 1U);  // learnt the new version
    EXPECT_EQ(it->client_status(), "pending");
  }
  (*job.mutable_task_groups(0)->mutable_tasks(0)->mutable_env())["A"] = "b";
  c.run(c.submit(job));
  after = c.live("a");
  EXPECT_EQ(after.size(), 3U);
  for (const auto& alloc : after) {
    EXPECT_FALSE(alloc.previous_allocation().empty());
    EXPECT_EQ(alloc.job().version(), 2U);
  }
}

TEST(Schedule, AFullNodeStillTakesTheReplacement) {
  TestCluster c;
  c.add_node();
  schema::Job job = TestCluster::job("a", 8);  // 8 x 500 MHz fill it
  c.run(c.submit(job));
  EXPECT_EQ(c.live("a").size(), 8U);
  (*job.mutable_task_groups(0)->mutable_tasks(0)->mutable_env())["A"] = "b";
  const Outcome out = c.run(c.submit(job));
  EXPECT_FALSE(out.blocked);
  EXPECT_EQ(c.live("a").size(), 8U);
  // Larger ones do not all fit: what cannot be replaced goes on.
  job.mutable_task_groups(0)->mutable_tasks(0)->mutable_resources()->set_cpu(5000);
  const Outcome large = c.run(c.submit(job));
  EXPECT_TRUE(large.blocked);
  EXPECT_EQ(c.live("a").size(), 8U);
}

TEST(Schedule, RescheduleAvoidsTheNodeThatFailed) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    TestCluster c(seed);
    for (int i = 0; i < 3; ++i) c.add_node();
    c.run(c.submit(TestCluster::job("a", 1)));
    const schema::Allocation first = c.live("a")[0];
    c.report(first.id(), "failed", true);
    // Too early: a follow-up evaluation.
    const Outcome early = c.run(c.evaluation("a", "service", "alloc-failure"));
    ASSERT_EQ(early.followups.size(), 1U);
    EXPECT_EQ(early.followups[0].wait_until(), c.now.unix_ns + 30 * kSecond);
    EXPECT_TRUE(c.live("a").empty());
    c.now = WallTime{c.now.unix_ns + 30 * kSecond};
    c.run(early.followups[0]);
    const auto live = c.live("a");
    ASSERT_EQ(live.size(), 1U);
    EXPECT_NE(live[0].node_id(), first.node_id());
    EXPECT_EQ(live[0].previous_allocation(), first.id());
    ASSERT_EQ(live[0].reschedule_tracker().events_size(), 1);
    EXPECT_EQ(live[0].reschedule_tracker().events(0).prev_node_id(), first.node_id());
    const auto old = c.snapshot().alloc(*AllocId::parse(first.id()))->decode(state::WithJob::kNo);
    EXPECT_EQ(old.next_allocation(), live[0].id());
    EXPECT_EQ(old.desired_description(), "alloc was rescheduled because it failed");
  }
}

TEST(Schedule, DeadNodeIsReplacedAndStickyDiskComesBack) {
  TestCluster c;
  const std::string one = c.add_node();
  const std::string two = c.add_node();
  schema::Job job = TestCluster::job("a", 1);
  c.run(c.submit(job));
  const schema::Allocation first = c.live("a")[0];
  c.set_status(first.node_id(), "down");
  c.run(c.evaluation("a", "service", "node-update"));
  const auto live = c.live("a");
  ASSERT_EQ(live.size(), 1U);
  EXPECT_NE(live[0].node_id(), first.node_id());
  const auto old = c.snapshot().alloc(*AllocId::parse(first.id()));
  EXPECT_EQ(old->client_status(), state::ClientStatus::kLost);
  schema::Job sticky = TestCluster::job("s", 1);
  sticky.mutable_task_groups(0)->mutable_ephemeral_disk()->set_sticky(true);
  c.set_status(first.node_id(), "ready");
  c.run(c.submit(sticky));
  const std::string home = c.live("s")[0].node_id();
  for (int round = 0; round < 5; ++round) {
    (*sticky.mutable_task_groups(0)->mutable_tasks(0)->mutable_env())["round"] = std::to_string(round);
    c.run(c.submit(sticky));
    EXPECT_EQ(c.live("s")[0].node_id(), home);
  }
}

TEST(Schedule, DeploymentIsMadeAndRolls) {
  TestCluster c;
  for (int i = 0; i < 3; ++i) c.add_node();
  schema::Job job = TestCluster::job("a", 3);
  auto& update = *job.mutable_task_groups(0)->mutable_update();
  update.set_max_parallel(1);
  update.set_progress_deadline(600 * kSecond);
  Outcome out = c.run(c.submit(job));
  ASSERT_TRUE(out.plan.has_deployment());
  EXPECT_EQ(out.eval.deployment_id(), out.plan.deployment().id());
  for (const auto& alloc : c.live("a")) EXPECT_EQ(alloc.deployment_id(), out.plan.deployment().id());
  (*job.mutable_task_groups(0)->mutable_tasks(0)->mutable_env())["A"] = "b";
  out = c.run(c.submit(job));
  int replaced = 0;
  for (const auto& alloc : c.live("a")) replaced += alloc.job().version() == 1;
  EXPECT_EQ(replaced, 1);
  EXPECT_EQ(out.plan.deployment_updates_size(), 1);  // the first one is cancelled
  // Nothing more until it is healthy.
  out = c.run(c.evaluation("a", "service", "deployment-watcher"));
  EXPECT_TRUE(out.plan_empty);
}

TEST(Schedule, CanariesOfAFirstUpdate) {
  TestCluster c;
  for (int i = 0; i < 3; ++i) c.add_node();
  schema::Job job = TestCluster::job("a", 2);
  job.mutable_task_groups(0)->mutable_update()->set_max_parallel(1);
  job.mutable_task_groups(0)->mutable_update()->set_canary(1);
  c.run(c.submit(job));
  EXPECT_EQ(c.live("a").size(), 2U);
  (*job.mutable_task_groups(0)->mutable_tasks(0)->mutable_env())["A"] = "b";
  const Outcome out = c.run(c.submit(job));
  EXPECT_EQ(c.live("a").size(), 3U);
  const auto latest = c.snapshot().latest_deployment("default", "a")->decode();
  EXPECT_EQ(latest.task_groups().at("web").desired_canaries(), 1);
  EXPECT_EQ(latest.task_groups().at("web").placed_canaries_size(), 1);
  EXPECT_TRUE(c.run(c.evaluation("a", "service", "node-update")).plan_empty);
}

TEST(Schedule, SystemJobOnEveryNode) {
  TestCluster c;
  for (int i = 0; i < 3; ++i) c.add_node();
  schema::Job job = TestCluster::job("sys", 1, "system");
  c.run(c.submit(job));
  EXPECT_EQ(c.live("sys").size(), 3U);
  EXPECT_EQ(by_node(c.live("sys")).size(), 3U);
  const std::string late = c.add_node();
  c.run(c.evaluation("sys", "system", "node-update"));
  EXPECT_EQ(c.live("sys").size(), 4U);
  c.set_status(late, "down");
  c.run(c.evaluation("sys", "system", "node-update"));
  EXPECT_EQ(c.live("sys").size(), 3U);
  // A constraint that one node does not meet any more.
  auto& constraint = *job.add_constraints();
  constraint.set_l_target("${node.unique.id}"), constraint.set_operand("!=");
  constraint.set_r_target(c.live("sys")[0].node_id());
  c.run(c.submit(job));
  EXPECT_EQ(c.live("sys").size(), 2U);
  job.set_stop(true);
  c.run(c.submit(job));
  EXPECT_TRUE(c.live("sys").empty());
}

TEST(Schedule, SystemJobEvictsTheUnimportant) {
  TestCluster c;
  const std::string node = c.add_node();
  schema::Job low = TestCluster::job("low", 8);
  low.set_priority(30);
  c.run(c.submit(low));
  schema::Job high = TestCluster::job("sys", 1, "system");
  high.set_priority(80);
  high.mutable_task_groups(0)->mutable_tasks(0)->mutable_resources()->set_cpu(900);
  const Outcome out = c.run(c.submit(high));
  ASSERT_EQ(c.live("sys").size(), 1U);
  EXPECT_EQ(c.live("sys")[0].preempted_allocations_size(), 2);
  EXPECT_EQ(c.live("low").size(), 6U);
  EXPECT_FALSE(out.blocked);
  // Not those of nearly the same priority.
  schema::Job near = high;
  near.set_id("near"), near.set_priority(39);
  const Outcome refused = c.run(c.submit(near));
  EXPECT_TRUE(c.live("near").empty());
  ASSERT_EQ(refused.blocked_nodes.size(), 1U);
  EXPECT_EQ(refused.blocked_nodes[0].node_id(), node);
}

TEST(Schedule, SysbatchRunsOnce) {
  TestCluster c;
  for (int i = 0; i < 2; ++i) c.add_node();
  schema::Job job = TestCluster::job("sb", 1, "sysbatch");
  c.run(c.submit(job));
  ASSERT_EQ(c.live("sb").size(), 2U);
  for (const auto& alloc : c.live("sb")) c.report(alloc.id(), "complete");
  EXPECT_TRUE(c.run(c.evaluation("sb", "sysbatch", "node-update")).plan_empty);
  (*job.mutable_task_groups(0)->mutable_tasks(0)->mutable_env())["A"] = "b";
  c.run(c.submit(job));
  EXPECT_EQ(c.live("sb").size(), 2U);
}

TEST(Schedule, ParentsAndUnknownTriggers) {
  TestCluster c;
  c.add_node();
  schema::Job periodic = TestCluster::job("p", 1, "batch");
  periodic.mutable_periodic()->set_enabled(true);
  periodic.mutable_periodic()->set_spec("* * * * *");
  Outcome out = c.run(c.submit(periodic));
  EXPECT_TRUE(out.plan_empty);
  EXPECT_EQ(out.eval.status(), "complete");
  schema::Job parameterized = TestCluster::job("d", 1, "batch");
  parameterized.mutable_parameterized_job();
  EXPECT_TRUE(c.run(c.submit(parameterized)).plan_empty);
  out = c.schedule(c.evaluation("p", "batch", "moonrise"));
  EXPECT_EQ(out.eval.status(), "failed");
  EXPECT_EQ(out.eval.status_description(), "scheduler cannot handle 'moonrise' evaluation reason");
}

TEST(Schedule, TheSameCallGivesTheSameBytes) {
  TestCluster c;
  for (int i = 0; i < 40; ++i) c.add_node();
  schema::Job job = TestCluster::job("a", 25);
  job.mutable_task_groups(0)->add_networks()->add_dynamic_ports()->set_label("p");
  const auto eval = c.submit(job);
  const auto bytes = [&](const schema::Evaluation& of) {
    Scheduler fresh;  // whatever a worker remembers
    const Outcome out = fresh.schedule(of, c.snapshot(), c.options());
    std::map<std::string, std::string> by;  // maps have no order of their own
    std::string text;
    for (const auto& [node, list] : out.plan.node_allocation()) {
      for (const auto& a : list.items()) {
        by[a.id()] = a.name() + node + std::to_string(a.allocated_resources().shared().ports(0).value());
      }
    }
    for (const auto& [id, what] : by) text += id + what + "\n";
    return text;
  };
  const std::string first = bytes(eval);
  EXPECT_EQ(first, bytes(eval));
  schema::Evaluation other = eval;
  other.set_id(c.uuid());
  EXPECT_NE(first, bytes(other));  // ties are drawn anew
}

TEST(Schedule, PlanAnnotations) {
  TestCluster c;
  c.add_node();
  Options options = c.options();
  options.annotate = true;
  const schema::Job job = TestCluster::job("a", 2);
  const Outcome out = c.scheduler().schedule_job(c.evaluation("a", "service", "job-register"), job, c.snapshot(), options);
  EXPECT_EQ(out.plan.annotations().desired_tg_updates().at("web").place(), 2U);
}

TEST(Schedule, MaxParallelLifecycleCountsTheMaximum) {
  TestCluster c;
  c.add_node();
  schema::Job job = TestCluster::job("a", 1);
  auto& group = *job.mutable_task_groups(0);
  group.mutable_tasks(0)->mutable_resources()->set_cpu(3000);
  auto& before = *group.add_tasks();
  before = group.tasks(0);
  before.set_name("prepare");
  before.mutable_lifecycle()->set_hook("prestart");
  before.mutable_resources()->set_cpu(3500);
  auto& beside = *group.add_tasks();
  beside = group.tasks(0);
  beside.set_name("proxy");
  beside.mutable_lifecycle()->set_hook("prestart");
  beside.mutable_lifecycle()->set_sidecar(true);
  beside.mutable_resources()->set_cpu(500);
  c.run(c.submit(job));
  EXPECT_EQ(c.live("a").size(), 1U);  // max(3000, 3500) + 500 = 4000
  const auto usage = c.snapshot().allocs_by_job("default", "a", state::Incarnation::kAny)[0].usage();
  EXPECT_EQ(usage.cpu, 4000);
}

}  // namespace
}  // namespace steppe::scheduler
