#include "agent/server/core.h"

#include <algorithm>

#include "agent/schema/plan.pb.h"
#include "agent/state/job_key.h"

namespace steppe::server {

using telemetry::Metric;

Core::Core(io::Loop& loop, Rng& rng, log::Logger log, telemetry::Registry& metrics, Settings given)
    : loop(loop),
      rng(rng),
      log(std::move(log)),
      metrics(metrics),
      settings(std::move(given)),
      store(settings.state),
      commands(loop, rng, store, metrics),
      broker(settings.broker, rng),
      heartbeats(settings.heartbeats, rng),
      evals_ready(loop),
      failed_ready(loop),
      beats_changed(loop) {}

namespace {

QueuedEval queued(Core& core, const schema::Evaluation& eval, state::JobType type, const EvalId& id) {
  QueuedEval out{.id = id,
                 .job = state::job_key(eval.namespace_(), eval.job_id()),
                 .type = type,
                 .priority = static_cast<int32_t>(eval.priority()),
                 .create_index = eval.create_index(),
                 .modify_index = eval.modify_index()};
  if (eval.wait() > 0) out.wait = Duration(eval.wait());
  if (eval.wait_until() > 0) out.wait = std::max(Duration::zero(), WallTime{eval.wait_until()} - core.loop.wall());
  return out;
}

void enqueue(Core& core, const schema::Evaluation& eval, state::JobType type, const EvalId& id) {
  Result<> done = core.broker.enqueue(queued(core, eval, type, id), core.loop.now());
  if (!done.ok()) {
    core.broker_overflowed = true;
    core.metrics.count(Metric::kBrokerRefused);
  }
  core.evals_ready.pulse();
}

BlockedEval blocked(const schema::Evaluation& eval, state::JobType type, const EvalId& id) {
  BlockedEval out{.id = id,
                  .job = state::job_key(eval.namespace_(), eval.job_id()),
                  .eligibility = {eval.class_eligibility().begin(), eval.class_eligibility().end()},
                  .escaped = eval.escaped_computed_class(),
                  .failed = eval.triggered_by() == "max-plan-attempts",
                  .create_index = eval.create_index(),
                  .snapshot_index = eval.snapshot_index()};
  const bool system = type == state::JobType::kSystem || type == state::JobType::kSysBatch;
  if (auto node = NodeId::parse(eval.node_id()); system && node.ok()) out.node = *node;
  return out;
}

}  // namespace

void track_eval(Core& core, const schema::Evaluation& eval) {
  const auto id = EvalId::parse(eval.id());
  const auto type = state::parse_job_type(eval.type());
  const auto status = state::parse_eval_status(eval.status());
  if (!id.ok() || !type.ok() || !status.ok()) {
    core.log.error("evaluation that cannot be tracked", {{"eval", eval.id()}, {"type", eval.type()}, {"status", eval.status()}});
    return;
  }
  const std::string job = state::job_key(eval.namespace_(), eval.job_id());
  switch (*status) {
    case state::EvalStatus::kPending: enqueue(core, eval, *type, *id); return;
    case state::EvalStatus::kBlocked: {
      const BlockedEvals::Verdict verdict = core.blocked.block(blocked(eval, *type, *id));
      if (verdict == BlockedEvals::Verdict::kUnblock || verdict == BlockedEvals::Verdict::kFull) enqueue(core, eval, *type, *id);
      return;
    }
    case state::EvalStatus::kComplete:
      if (eval.failed_tg_allocs().empty()) core.blocked.untrack(job);
      return;
    case state::EvalStatus::kFailed:
    case state::EvalStatus::kCanceled:
      core.broker.forget(*id);
      core.blocked.forget(*id);
      return;
  }
}

void enqueue_unblocked(Core& core, const std::vector<EvalId>& ids) {
  const state::Snapshot snapshot = core.store.snapshot();
  for (const EvalId& id : ids) {
    const auto view = snapshot.eval(id);
    if (!view || view->terminal()) continue;
    enqueue(core, view->decode(), view->type(), id);
  }
}

schema::SchedulerConfiguration scheduler_config(const state::Snapshot& snapshot) {
  if (auto stored = snapshot.scheduler_config()) return *std::move(stored);
  schema::SchedulerConfiguration config;
  config.set_scheduler_algorithm("binpack");
  config.mutable_preemption_config()->set_system_scheduler_enabled(true);
  return config;
}

schema::Evaluation new_eval(Core& core, std::string_view ns, std::string_view job_id, std::string_view type, int64_t priority, std::string_view trigger) {
  schema::Evaluation eval;
  const int64_t now = core.loop.wall().unix_ns;
  eval.set_id(EvalId::random(core.rng).text());
  eval.set_namespace_(std::string(ns));
  eval.set_job_id(std::string(job_id));
  eval.set_type(std::string(type));
  eval.set_priority(priority);
  eval.set_triggered_by(std::string(trigger));
  eval.set_status("pending");
  eval.set_create_time(now);
  eval.set_modify_time(now);
  return eval;
}

}  // namespace steppe::server
