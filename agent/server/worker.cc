#include "agent/server/worker.h"

#include <utility>

#include "agent/schema/log.pb.h"
#include "agent/schema/plan.pb.h"
#include "agent/scheduler/scheduler.h"

namespace steppe::server {

using endpoint::Outcome;
using state::JobType;
using telemetry::Metric;

namespace {

constexpr Duration kRefreshWait = std::chrono::seconds(5);

const std::set<JobType> kTypes = {JobType::kService, JobType::kBatch, JobType::kSystem, JobType::kSysBatch};

}  // namespace

Worker::Worker(Core& core, PlanApplier& applier) : core_(core), applier_(applier), scheduler_(std::make_unique<scheduler::Scheduler>()) {}
Worker::~Worker() = default;

io::Task<void> Worker::run(std::stop_token stop) {
  while (!stop.stop_requested()) {
    const bool paused = scheduler_config(core_.store.snapshot()).pause_eval_broker();
    const auto delivery = paused ? std::nullopt : core_.broker.dequeue(kTypes, core_.loop.now());
    if (!delivery) {
      static_cast<void>(co_await core_.evals_ready.wait({.stop = stop}));
      continue;
    }
    core_.metrics.count(Metric::kWorkerDequeue);
    const auto view = core_.store.snapshot().eval(delivery->id);
    Outcome<> done;
    if (view && !view->terminal()) {
      const schema::Evaluation eval = view->decode();
      done = co_await process(eval, delivery->token, stop);
    }
    if (done.ok()) {
      core_.metrics.count(Metric::kWorkerAck);
      static_cast<void>(core_.broker.ack(delivery->id, delivery->token, core_.loop.now()));
    } else {
      core_.metrics.count(Metric::kWorkerNack);
      core_.log.warn("evaluation given back", {{"eval", delivery->id}, {"deliveries", delivery->deliveries}, {"error", done.error()}});
      static_cast<void>(core_.broker.nack(delivery->id, delivery->token, core_.loop.now()));
    }
    core_.evals_ready.pulse();
    core_.failed_ready.pulse();
  }
}

io::Task<scheduler::Outcome> Worker::schedule(const schema::Evaluation& eval, const scheduler::Options& options) {
  const MonoTime began = core_.loop.now();
  auto work = [this, &eval, &options, snapshot = core_.store.snapshot()] { return scheduler_->schedule(eval, snapshot, options); };
  scheduler::Outcome outcome = co_await io::run_blocking(core_.loop, std::move(work));
  core_.metrics.sample(Metric::kWorkerInvoke, core_.loop.now() - began);
  co_return outcome;
}

io::Task<Outcome<>> Worker::process(const schema::Evaluation& eval, const Uuid& token, std::stop_token stop) {
  scheduler::Attempts attempts(eval.type());
  while (true) {
    if (stop.stop_requested()) co_return endpoint::no_cluster_leader();
    const scheduler::Options options{.now = core_.loop.wall(), .config = scheduler_config(core_.store.snapshot())};
    scheduler::Outcome outcome = co_await schedule(eval, options);
    if (!core_.leader) co_return endpoint::no_cluster_leader();
    if (!outcome.followups.empty()) STEPPE_CO_TRY_VOID(co_await store(outcome.followups));
    if (outcome.plan_empty) co_return co_await finish(outcome);
    outcome.plan.set_eval_id(eval.id());
    outcome.plan.set_eval_token(token.text());
    STEPPE_CO_TRY(const std::unique_ptr<schema::PlanResult> result, co_await applier_.submit(outcome.plan, {.stop = stop}));
    switch (attempts.after(outcome.plan, *result)) {
      case scheduler::Attempts::Next::kDone: co_return co_await finish(outcome);
      case scheduler::Attempts::Next::kRetry: {
        Result<> fresh = co_await core_.commands.wait_applied(result->refresh_index(), io::Deadline::in(core_.loop, kRefreshWait, stop));
        if (!fresh.ok()) co_return std::move(fresh).error();
        break;
      }
      case scheduler::Attempts::Next::kGiveUp: {
        scheduler::GiveUp end = scheduler::give_up(eval, outcome, attempts.used(), options);
        std::vector<schema::Evaluation> evals;
        evals.push_back(std::move(end.eval));
        evals.push_back(std::move(end.blocked));
        co_return co_await store(std::move(evals));
      }
    }
  }
}

io::Task<Outcome<>> Worker::finish(const scheduler::Outcome& outcome) {
  std::vector<schema::Evaluation> evals;
  if (outcome.blocked) evals.push_back(*outcome.blocked);
  evals.insert(evals.end(), outcome.blocked_nodes.begin(), outcome.blocked_nodes.end());
  evals.push_back(outcome.eval);
  co_return co_await store(std::move(evals));
}

io::Task<Outcome<>> Worker::store(std::vector<schema::Evaluation> evals) {
  schema::LogEvalUpsert command;
  for (schema::Evaluation& eval : evals) *command.add_evals() = std::move(eval);
  command.set_unix_ns(core_.loop.wall().unix_ns);
  STEPPE_CO_TRY_VOID(co_await core_.commands.propose(schema::LOG_EVAL_UPSERT, command));
  co_return Outcome<>();
}

}  // namespace steppe::server
