#pragma once

#include <memory>
#include <vector>

#include "agent/server/core.h"
#include "agent/server/deployment_watcher.h"
#include "agent/server/drainer.h"
#include "agent/server/periodic.h"
#include "agent/server/plan_applier.h"
#include "agent/server/worker.h"
#include "init/io/scope.h"

namespace steppe::server {

// What only the leader does: hands out evaluations, expects heartbeats, unblocks, reaps. Started when leadership is
// established, that is when everything committed by earlier leaders is applied here; stopped when it goes.
class Leader {
 public:
  Leader(Core& core, PlanApplier& applier) : core_(core), applier_(applier), deployments_(core), drainer_(core), periodic_(core), scope_(core.loop) {}

  void start();
  // Returns when nothing of it runs any more. May be started again.
  io::Task<void> stop();
  // The effects of an applied entry: evaluations to track, capacity that came free, nodes and jobs that went.
  void applied(const state::Snapshot& before, const state::Snapshot& after, const state::Outcome& outcome);
  PeriodicLauncher& periodic() { return periodic_; }

 private:
  void restore();
  void node_changed(const state::Snapshot& before, const state::Snapshot& after, const NodeId& id, uint64_t index);
  void alloc_changed(const state::Snapshot& before, const state::Snapshot& after, const AllocId& id, uint64_t index);
  void job_changed(const state::Snapshot& after, const std::string& key);
  void free_capacity(const state::NodeView& node, uint64_t index);
  void show_gauges();

  io::Task<void> run_broker_timer();
  io::Task<void> run_heartbeats();
  io::Task<void> node_missed(NodeId node);
  io::Task<void> run_failed_reaper();
  io::Task<bool> end_failed(Delivery delivery);
  io::Task<void> run_cancel_reaper();
  io::Task<void> run_minute();
  io::Task<void> run_garbage_collection();
  io::Task<void> evaluate_lost_nodes();

  Core& core_;
  PlanApplier& applier_;
  DeploymentWatcher deployments_;
  Drainer drainer_;
  PeriodicLauncher periodic_;
  io::Scope scope_;
  std::unique_ptr<std::stop_source> stop_;  // of this term of office
  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace steppe::server
