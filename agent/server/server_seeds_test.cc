// Random clusters from seeds: whatever happens, once it calms down every job has exactly what it asked for.

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "agent/model/fit.h"
#include "agent/schema/job.pb.h"
#include "agent/schema/node.pb.h"
#include "agent/schema/plan.pb.h"
#include "agent/server/test_cluster.h"

namespace steppe::server {
namespace {

using endpoint::Method;
using namespace std::chrono_literals;

io::Task<void> bounce_leader(Server& server) {
  co_await server.revoke();
  server.establish();
}

// One run.
class ChaosRun {
 public:
  explicit ChaosRun(uint64_t seed) : cluster_(seed), rng_(seed * 7919) {
    for (int i = 0; i < 3; ++i) nodes_.push_back(cluster_.add_node("n" + std::to_string(i)));
  }

  void chaos(int steps) {
    for (int i = 0; i < steps; ++i) step();
  }

  // Everybody behaves for long enough.
  void calm() {
    cluster_.log.failing = false;
    silent_.clear();
    for (int i = 0; i < 60; ++i) {
      beat();
      for (const std::string& node : nodes_) cluster_.obey(node);
      cluster_.run_for(10s);
    }
    cluster_.settle();
  }

  void check(uint64_t seed) {
    const state::Snapshot snapshot = cluster_.snapshot();
    snapshot.each_eval({}, state::Order::kForward, [&](const state::EvalView& eval) {
      EXPECT_TRUE(eval.terminal()) << "seed " << seed << ": evaluation " << eval.id().text() << " is " << state::text(eval.status());
      return true;
    });
    for (const auto& [job, count] : wanted_) {
      std::set<std::string> names;
      int64_t live = 0;
      for (const schema::Allocation& alloc : cluster_.allocs(job)) {
        if (alloc.desired_status() != "run" || alloc.client_status() == "failed" || alloc.client_status() == "lost" || alloc.client_status() == "complete") continue;
        ++live;
        EXPECT_TRUE(names.insert(alloc.name()).second) << "seed " << seed << ": two of " << alloc.name();
      }
      EXPECT_EQ(live, count) << "seed " << seed << " job " << job;
    }
    for (const std::string& id : nodes_) {
      const auto node = snapshot.node(*NodeId::parse(id));
      std::vector<schema::Allocation> allocs;
      for (const state::AllocView& alloc : snapshot.allocs_by_node(*NodeId::parse(id))) allocs.push_back(alloc.decode(state::WithJob::kNo));
      std::vector<const schema::Allocation*> pointers;
      for (const schema::Allocation& alloc : allocs) pointers.push_back(&alloc);
      const model::FitResult fit = model::allocs_fit(node->decode(), pointers);
      EXPECT_TRUE(fit.fits) << "seed " << seed << ": node holds too much " << fit.dimension;
    }
  }

 private:
  void beat() {
    for (const std::string& node : nodes_) {
      if (!silent_.contains(node) && !cluster_.log.failing) cluster_.heartbeat(node);
    }
  }

  void register_random_job() {
    const std::string id = "job" + std::to_string(rng_.below(4));
    const auto count = static_cast<int64_t>(rng_.below(5));
    schema::JobRegisterRequest request;
    *request.mutable_job() = test_job(id, count);
    schema::TaskGroup& group = *request.mutable_job()->mutable_task_groups(0);
    group.mutable_update()->set_max_parallel(0);
    group.mutable_reschedule_policy()->set_unlimited(true);
    group.mutable_reschedule_policy()->set_delay(5s / 1ns);
    group.mutable_reschedule_policy()->set_delay_function("constant");
    (*group.mutable_tasks(0)->mutable_env())["VALUE"] = std::to_string(rng_.below(3));
    cluster_.call<Method::kJobRegister>(request);
    wanted_[id] = count;
  }

  void stop_random_job() {
    if (wanted_.empty()) return;
    auto at = wanted_.begin();
    std::advance(at, static_cast<ptrdiff_t>(rng_.below(wanted_.size())));
    schema::JobDeregisterRequest request;
    request.set_job_id(at->first);
    cluster_.call<Method::kJobDeregister>(request);
    at->second = 0;
  }

  void fail_random_alloc() {
    const std::string& node = nodes_[rng_.below(nodes_.size())];
    const auto view = cluster_.snapshot().node(*NodeId::parse(node));
    if (silent_.contains(node) || view->status() == state::NodeStatus::kDown) return;
    for (const state::AllocView& alloc : cluster_.snapshot().allocs_by_node(*NodeId::parse(node))) {
      if (alloc.terminal()) continue;
      cluster_.report(node, alloc.id().text(), "failed");
      return;
    }
  }

  void step() {
    switch (rng_.below(10)) {
      case 0:
      case 1: register_random_job(); break;
      case 2: stop_random_job(); break;
      case 3: fail_random_alloc(); break;
      case 4:
        if (silent_.size() < 2) silent_.insert(nodes_[rng_.below(nodes_.size())]);
        break;
      case 5: silent_.clear(); break;
      case 6: cluster_.run(bounce_leader(*cluster_.server)); break;
      case 7: {  // the log refuses for a while: evaluations are given back
        cluster_.log.failing = true;
        cluster_.run_for(std::chrono::milliseconds(rng_.below(3000)));
        cluster_.log.failing = false;
        break;
      }
      default: {
        const std::string& node = nodes_[rng_.below(nodes_.size())];
        const auto view = cluster_.snapshot().node(*NodeId::parse(node));
        if (!silent_.contains(node) && view->status() != state::NodeStatus::kDown) cluster_.obey(node);
      }
    }
    cluster_.run_for(std::chrono::milliseconds(rng_.below(8000)));
    beat();
  }

  TestCluster cluster_;
  SeededRng rng_;
  std::vector<std::string> nodes_;
  std::set<std::string> silent_;
  std::map<std::string, int64_t> wanted_;
};

TEST(ServerSeeds, EveryJobGetsWhatItAskedFor) {
  for (uint64_t seed = 1; seed <= 15; ++seed) {
    ChaosRun run(seed);
    run.chaos(40);
    run.calm();
    run.check(seed);
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace steppe::server
