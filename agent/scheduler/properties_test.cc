// Random clusters and histories from seeds. After every step an independent reader of the state checks what must never
// break; the same reader must find each planted bug.
#include <gtest/gtest.h>

#include <algorithm>
#include <format>
#include <map>
#include <optional>
#include <set>

#include "agent/model/alloc_status.h"
#include "agent/scheduler/test_cluster.h"

namespace steppe::scheduler {
namespace {

// Sums up every node from the allocs alone, by rules written here a second time. Empty: all is well.
std::string audit(TestCluster& c) {
  const state::Snapshot at = c.snapshot();
  std::string wrong;
  at.each_node({}, state::Order::kForward, [&](const state::NodeView& view) {
    const schema::Node node = view.decode();
    int64_t cpu = 0, memory = 0, disk = 0;
    std::map<std::pair<std::string, int64_t>, std::string> ports;
    std::map<std::string, std::string> devices;
    std::map<uint64_t, std::string> cores;
    for (const state::AllocView& alloc_view : at.allocs_by_node(view.id())) {
      // What was told to stop makes room for what the same plan placed; the client starts one after the other.
      if (alloc_view.terminal()) continue;
      const schema::Allocation alloc = alloc_view.decode(state::WithJob::kNo);
      for (const auto& [name, task] : alloc.allocated_resources().tasks()) {
        cpu += task.cpu().cpu_shares();
        memory += task.memory().memory_mb();
        for (const uint64_t core : task.cpu().reserved_cores()) {
          if (!cores.emplace(core, alloc.id()).second) wrong = std::format("core {} twice on {}", core, node.name());
        }
        for (const auto& device : task.devices()) {
          for (const auto& id : device.device_ids()) {
            if (!devices.emplace(id, alloc.id()).second) wrong = std::format("device {} twice on {}", id, node.name());
          }
        }
      }
      disk += alloc.allocated_resources().shared().disk_mb();
      for (const auto& port : alloc.allocated_resources().shared().ports()) {
        if (!ports.emplace(std::pair(port.host_ip(), port.value()), alloc.id()).second) {
          wrong = std::format("port {} twice on {}", port.value(), node.name());
        }
        if (port.value() == 20005) wrong = "a reserved port was given away";
      }
    }
    const auto& total = node.node_resources();
    const auto& reserved = node.reserved_resources();
    if (cpu > total.cpu().cpu_shares() - reserved.cpu().cpu_shares()) wrong = "cpu overcommitted on " + node.name();
    if (memory > total.memory().memory_mb() - reserved.memory().memory_mb()) wrong = "memory overcommitted on " + node.name();
    if (disk > total.disk().disk_mb() - reserved.disk().disk_mb()) wrong = "disk overcommitted on " + node.name();
    return wrong.empty();
  });
  return wrong;
}

class History {
 public:
  explicit History(uint64_t seed) : rng_(seed), c_(seed) {
    const uint64_t nodes = 1 + rng_.below(8);
    for (uint64_t i = 0; i < nodes; ++i) nodes_.push_back(add_node());
    for (int i = 0; i < 3; ++i) jobs_.push_back(make_job(i));
  }

  std::string run(int steps) {
    for (int i = 0; i < steps; ++i) {
      step();
      if (std::string wrong = audit(c_); !wrong.empty()) return wrong;
      if (!counts_.empty()) return counts_;
    }
    return {};
  }

  std::string digest() { return std::format("{:x}", c_.snapshot().digest()); }

 private:
  std::string add_node() {
    const uint64_t kind = rng_.below(3);
    const uint64_t reserved = rng_.below(2);
    return c_.add_node([&](schema::Node& n) {
      n.set_datacenter(kind == 0 ? "dc1" : "dc2");
      (*n.mutable_meta())["rack"] = std::format("r{}", kind);
      n.mutable_node_resources()->set_min_dynamic_port(20000);
      n.mutable_node_resources()->set_max_dynamic_port(20020);
      n.mutable_node_resources()->mutable_memory()->set_memory_mb(2000);
      n.mutable_reserved_resources()->mutable_memory()->set_memory_mb(static_cast<int64_t>(reserved) * 900);
      n.mutable_reserved_resources()->mutable_networks()->set_reserved_host_ports("20005");
      for (uint64_t core = 0; core < 4; ++core) {
        auto& one = *n.mutable_node_resources()->mutable_processors()->mutable_topology()->add_cores();
        one.set_id(core);
        one.set_base_speed(1000);
        n.mutable_node_resources()->mutable_cpu()->add_reservable_cpu_cores(core);
      }
      if (kind != 1) return;
      auto& gpu = *n.mutable_node_resources()->add_devices();
      gpu.set_vendor("v"), gpu.set_type("gpu"), gpu.set_name("g");
      for (const char* id : {"g0", "g1"}) {
        auto& instance = *gpu.add_instances();
        instance.set_id(n.id() + id);
        instance.set_healthy(true);
      }
    });
  }

  schema::Job make_job(int number) {
    schema::Job job = TestCluster::job(std::format("job{}", number), static_cast<int64_t>(1 + rng_.below(6)),
                                       number == 2 && rng_.chance(1, 2) ? "system" : "service");
    job.set_priority(static_cast<int64_t>(20 + rng_.below(60)));
    auto& group = *job.mutable_task_groups(0);
    auto& resources = *group.mutable_tasks(0)->mutable_resources();
    resources.set_cpu(static_cast<int64_t>(100 + rng_.below(900)));
    resources.set_memory_mb(static_cast<int64_t>(50 + rng_.below(400)));
    if (rng_.chance(1, 4)) resources.set_cores(static_cast<int64_t>(1 + rng_.below(2)));
    if (rng_.chance(1, 4)) resources.add_devices()->set_name("gpu");
    if (rng_.chance(1, 2)) {
      auto& network = *group.add_networks();
      network.add_dynamic_ports()->set_label("d");
      if (rng_.chance(1, 2)) {
        auto& fixed = *network.add_reserved_ports();
        fixed.set_label("s"), fixed.set_value(20000 + static_cast<int64_t>(rng_.below(4)));
      }
    }
    if (rng_.chance(1, 3)) {
      auto& spread = *job.add_spreads();
      spread.set_attribute("${meta.rack}"), spread.set_weight(50);
    }
    if (rng_.chance(1, 4)) job.add_constraints()->set_operand("distinct_hosts");
    if (rng_.chance(1, 3)) {
      group.mutable_update()->set_max_parallel(static_cast<int64_t>(1 + rng_.below(2)));
      group.mutable_update()->set_canary(static_cast<int64_t>(rng_.below(2)));
    }
    if (rng_.chance(1, 3)) group.mutable_disconnect()->set_lost_after(60 * TestCluster::kSecond);
    return job;
  }

  schema::Job& any_job() { return jobs_[rng_.below(jobs_.size())]; }

  void evaluate(const schema::Job& job, const schema::Evaluation& eval) {
    const Outcome out = c_.schedule(eval);
    // A second look at the same state sees the same.
    const Outcome same = c_.schedule(eval);
    if (out.plan.node_allocation().size() != same.plan.node_allocation().size()) counts_ = "not deterministic";
    if (!out.plan_empty) {
      for (const auto& [node, list] : out.plan.node_allocation()) {
        refused_for_[node] = refusal_of(c_.snapshot(), out.plan, node);
      }
      const auto result = c_.commit(out.plan);
      if (!fully_committed(out.plan, result)) counts_ = why_refused(out.plan, result);
    }
    check_counts(job, out);
  }

  // Every alloc of the job, for a message.
  std::string allocs_of(const schema::Job& job) {
    std::string out;
    for (const auto& view : c_.snapshot().allocs_by_job("default", job.id(), state::Incarnation::kAny)) {
      const auto alloc = view.decode(state::WithJob::kNo);
      out += std::format("\n  {} {} v{} {}/{} {} next={} follow-up={} {}", alloc.id().substr(0, 4), alloc.name(),
                         view.job().version(), alloc.desired_status(), alloc.client_status(), alloc.desired_description(),
                         alloc.next_allocation().substr(0, 4), alloc.followup_eval_id().substr(0, 4),
                         state::text(c_.snapshot().node(view.node_id())->status()));
    }
    return out;
  }

  std::string why_refused(const schema::Plan& plan, const schema::PlanResult& result) {
    std::string out = "a plan on the newest state was refused:";
    for (const std::string& id : result.rejected_nodes()) {
      out += " " + refused_for_[id];
      for (const auto& alloc : plan.node_allocation().at(id).items()) {
        const bool known = c_.snapshot().alloc(*AllocId::parse(alloc.id())).has_value();
        out += std::format(" {}({}{})", alloc.name(), alloc.client_status(), known ? ", known" : "");
      }
    }
    return out;
  }

  void check_counts(const schema::Job& job, const Outcome& out) {
    if (job.type() != "service") return;
    int64_t live = 0;
    std::set<std::string> hosts;
    for (const auto& alloc : c_.live(job.id())) {
      if (alloc.client_status() == "unknown" || alloc.deployment_status().canary()) continue;
      ++live;
      hosts.insert(alloc.node_id());
    }
    const int64_t wanted = job.stop() ? 0 : job.task_groups(0).count();
    if (live > wanted) counts_ = std::format("{} of {} allocs of {}{}", live, wanted, job.id(), allocs_of(job));
    const bool distinct = !job.constraints().empty();
    if (distinct && static_cast<int64_t>(hosts.size()) < live) counts_ = "distinct_hosts broken";
    // Everything failed, queued or there: nothing is forgotten.
    if (job.stop() || job.task_groups(0).has_update()) return;
    int64_t waiting = 0;
    for (const auto& view : c_.snapshot().allocs_by_job("default", job.id(), state::Incarnation::kAny)) {
      const auto alloc = view.decode(state::WithJob::kNo);
      waiting += view.desired_status() == state::DesiredStatus::kRun && alloc.next_allocation().empty() &&
                 (alloc.client_status() == "failed" || alloc.client_status() == "unknown");
    }
    const auto queued = out.eval.queued_allocations().find("web");
    const int64_t failed = queued == out.eval.queued_allocations().end() ? 0 : queued->second;
    if (live + waiting + failed < wanted) {
      counts_ = std::format("{} + {} waiting + {} queued of {} of {}{}", live, waiting, failed, wanted, job.id(), allocs_of(job));
    }
    if ((failed > 0) != (out.blocked || out.reblock)) counts_ = "queued without a blocked evaluation, or the reverse";
  }

  void step() {
    c_.now = WallTime{c_.now.unix_ns + static_cast<int64_t>(rng_.below(40)) * TestCluster::kSecond};
    schema::Job& job = any_job();
    switch (rng_.below(7)) {
      case 0:
        job.mutable_task_groups(0)->set_count(static_cast<int64_t>(rng_.below(7)));
        break;
      case 1:
        (*job.mutable_task_groups(0)->mutable_tasks(0)->mutable_env())["n"] = std::to_string(rng_.next());
        break;
      case 2:
        job.set_stop(rng_.chance(1, 2));
        break;
      case 3: {
        const std::string& node = nodes_[rng_.below(nodes_.size())];
        constexpr std::string_view kStatus[] = {"ready", "ready", "down", "disconnected"};
        c_.set_status(node, kStatus[rng_.below(4)]);
        for (const schema::Job& each : jobs_) {
          if (c_.snapshot().job("default", each.id())) evaluate(each, c_.evaluation(each.id(), each.type(), "node-update"));
        }
        return;
      }
      default: {
        const auto live = c_.live(job.id());
        if (live.empty()) break;
        const auto& alloc = live[rng_.below(live.size())];
        constexpr std::string_view kStatus[] = {"running", "running", "failed"};
        const std::string_view status = kStatus[rng_.below(3)];
        if (c_.snapshot().node(*NodeId::parse(alloc.node_id()))->status() != state::NodeStatus::kReady) break;
        c_.report(alloc.id(), status, status == "failed");
        evaluate(job, c_.evaluation(job.id(), job.type(), "alloc-failure"));
        return;
      }
    }
    evaluate(job, c_.submit(job));
  }

  SeededRng rng_;
  TestCluster c_;
  std::vector<std::string> nodes_;
  std::vector<schema::Job> jobs_;
  std::map<std::string, std::string> refused_for_;
  std::string counts_;
};

TEST(Properties, NothingIsOvercommittedOrForgotten) {
  for (uint64_t seed = 1; seed <= 80; ++seed) {
    const std::string wrong = History(seed).run(25);
    EXPECT_EQ(wrong, "") << "seed " << seed;
  }
}

TEST(Properties, ASeedReplaysToTheSameState) {
  for (uint64_t seed = 1; seed <= 15; ++seed) {
    History one(seed), two(seed);
    one.run(20);
    two.run(20);
    EXPECT_EQ(one.digest(), two.digest()) << "seed " << seed;
  }
}

// Planted bugs: a plan that is wrong in one way must be seen by the audit and refused by the plan check.
class Planted : public testing::Test {
 protected:
  Planted() {
    node_ = c_.add_node([](schema::Node& n) {
      n.mutable_reserved_resources()->mutable_memory()->set_memory_mb(4000);
      n.mutable_reserved_resources()->mutable_networks()->set_reserved_host_ports("20005");
    });
    job_ = TestCluster::job("a", 1);
    job_.mutable_task_groups(0)->add_networks()->add_dynamic_ports()->set_label("p");
    out_ = c_.schedule(c_.submit(job_));
  }

  schema::Allocation& alloc() { return *(*out_.plan.mutable_node_allocation())[node_].mutable_items(0); }

  // Commits the plan as it stands, without the check.
  void force() {
    schema::LogPlanApply command;
    *command.mutable_job() = out_.plan.job();
    for (const auto& [node, list] : out_.plan.node_allocation()) command.mutable_allocs_updated()->MergeFrom(list.items());
    command.set_unix_ns(c_.now.unix_ns);
    c_.apply(schema::LOG_PLAN_APPLY, command);
  }
  void expect_caught() {
    EXPECT_FALSE(fully_committed(out_.plan, evaluate_plan(c_.snapshot(), out_.plan)));
    force();
    EXPECT_NE(audit(c_), "");
  }

  TestCluster c_;
  std::string node_;
  schema::Job job_;
  Outcome out_;
};

TEST_F(Planted, TheUnchangedPlanPasses) {
  EXPECT_TRUE(fully_committed(out_.plan, evaluate_plan(c_.snapshot(), out_.plan)));
  force();
  EXPECT_EQ(audit(c_), "");
}

TEST_F(Planted, ReservedMemoryIgnored) {
  (*alloc().mutable_allocated_resources()->mutable_tasks())["server"].mutable_memory()->set_memory_mb(4001);
  expect_caught();
}

TEST_F(Planted, ReservedPortGivenAway) {
  alloc().mutable_allocated_resources()->mutable_shared()->mutable_ports(0)->set_value(20005);
  alloc().mutable_allocated_resources()->mutable_shared()->mutable_networks(0)->mutable_dynamic_ports(0)->set_value(20005);
  expect_caught();
}

TEST_F(Planted, PortGivenTwice) {
  schema::Allocation twin = alloc();
  twin.set_id(c_.uuid());
  *(*out_.plan.mutable_node_allocation())[node_].add_items() = twin;
  expect_caught();
}

TEST_F(Planted, CpuOfOneMoreThanFits) {
  (*alloc().mutable_allocated_resources()->mutable_tasks())["server"].mutable_cpu()->set_cpu_shares(4001);
  expect_caught();
}

// Ties must not follow addresses or insertion: the same cluster built in another order of memory gives the same plan for
// the same ids, and over many evaluations every equal node is chosen about equally often.
TEST(Properties, TiesAreFairAndFollowTheSeedOnly) {
  TestCluster c;
  std::map<std::string, int> chosen;
  for (int i = 0; i < 5; ++i) chosen[c.add_node()] = 0;
  const auto eval = c.submit(TestCluster::job("a", 1));
  for (int i = 0; i < 2000; ++i) {
    schema::Evaluation other = eval;
    other.set_id(c.uuid());
    const Outcome one = c.schedule(other);
    ++chosen[one.plan.node_allocation().begin()->first];
    if (i % 100 != 0) continue;
    Scheduler elsewhere;  // its memos lie at other addresses
    const Outcome two = elsewhere.schedule(other, c.snapshot(), c.options());
    EXPECT_EQ(one.plan.node_allocation().begin()->first, two.plan.node_allocation().begin()->first);
  }
  for (const auto& [node, times] : chosen) {
    EXPECT_GT(times, 300) << node;
    EXPECT_LT(times, 500) << node;
  }
}

}  // namespace
}  // namespace steppe::scheduler
