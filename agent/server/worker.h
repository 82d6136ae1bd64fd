#pragma once

#include <memory>
#include <set>
#include <vector>

#include "agent/server/core.h"
#include "agent/server/plan_applier.h"

namespace steppe::scheduler {
class Scheduler;
struct Options;
struct Outcome;
}

namespace steppe::server {

// Works on evaluations: takes one, schedules it on the pool over a snapshot, submits the plan, stores what follows, and
// acknowledges it. What fails on the way is given back and delivered again. Runs as long as this server leads.
class Worker {
 public:
  Worker(Core& core, PlanApplier& applier);
  ~Worker();

  // Until `stop`.
  io::Task<void> run(std::stop_token stop);

 private:
  io::Task<endpoint::Outcome<>> process(const schema::Evaluation& eval, const Uuid& token, std::stop_token stop);
  io::Task<endpoint::Outcome<>> finish(const scheduler::Outcome& outcome);
  io::Task<endpoint::Outcome<>> store(std::vector<schema::Evaluation> evals);
  io::Task<scheduler::Outcome> schedule(const schema::Evaluation& eval, const scheduler::Options& options);

  Core& core_;
  PlanApplier& applier_;
  std::unique_ptr<scheduler::Scheduler> scheduler_;
};

}  // namespace steppe::server
