#include "agent/server/update_batcher.h"

#include <map>
#include <optional>
#include <utility>

#include "agent/model/alloc_status.h"
#include "agent/model/reschedule.h"
#include "agent/model/update_kind.h"
#include "agent/schema/alloc.pb.h"
#include "agent/schema/job.pb.h"
#include "agent/schema/log.pb.h"
#include "agent/schema/plan.pb.h"
#include "agent/schema/rpc.pb.h"
#include "agent/state/job_key.h"

namespace steppe::server {

using endpoint::Outcome;
using state::ClientStatus;
using telemetry::Metric;

namespace {

// A batch is closed early when it holds this much: it must fit one log entry, with its evaluations.
constexpr size_t kMaxBatchBytes = size_t{2} << 20;

// What of an alloc a client may say.
schema::Allocation reported(const schema::Allocation& from, int64_t now) {
  schema::Allocation alloc;
  alloc.set_id(from.id());
  alloc.set_node_id(from.node_id());
  alloc.set_client_status(from.client_status());
  alloc.set_client_description(from.client_description());
  *alloc.mutable_task_states() = from.task_states();
  if (from.has_deployment_status()) *alloc.mutable_deployment_status() = from.deployment_status();
  if (from.has_network_status()) *alloc.mutable_network_status() = from.network_status();
  alloc.set_modify_time(now);
  return alloc;
}

// Whether the policy lets the failed alloc be replaced, now or later.
bool reschedulable(const state::AllocView& view, const schema::Allocation& update, const schema::Job& job, WallTime now) {
  schema::Allocation alloc = view.decode(state::WithJob::kNo);
  if (!alloc.followup_eval_id().empty()) return false;
  alloc.set_client_status(update.client_status());
  *alloc.mutable_task_states() = update.task_states();
  const schema::TaskGroup* group = model::find_group(job, alloc.task_group());
  if (group == nullptr || !group->has_reschedule_policy()) return false;
  const WallTime failed_at = model::last_finished(alloc).value_or(now);
  return model::reschedule_decision(alloc, group->reschedule_policy(), failed_at, now).verdict != model::RescheduleVerdict::kNever;
}

}  // namespace

struct UpdateBatcher::Batch {
  explicit Batch(io::Loop& loop) : closed(loop), applied(loop) {}
  schema::LogAllocClientUpdate command;
  size_t bytes = 0;
  io::Event closed;   // takes no more: flush at once
  io::Event applied;
  std::optional<Outcome<uint64_t>> outcome;
};

io::Task<Outcome<uint64_t>> UpdateBatcher::add(const schema::AllocUpdateRequest& request) {
  const auto count = static_cast<size_t>(request.alloc_size());
  if (waiting_ + count > core_.settings.max_updates) co_return endpoint::too_many("too many alloc updates wait");
  const size_t bytes = request.ByteSizeLong();
  if (open_ && open_->bytes + bytes > kMaxBatchBytes) {
    open_->closed.set();
    open_.reset();
  }
  if (!open_) {
    open_ = std::make_shared<Batch>(core_.loop);
    scope_.spawn(flush_later(open_));
  }
  const std::shared_ptr<Batch> batch = open_;
  batch->bytes += bytes;
  const int64_t now = core_.loop.wall().unix_ns;
  {
    const state::Snapshot snapshot = core_.store.snapshot();
    for (const schema::Allocation& alloc : request.alloc()) {
      const auto id = AllocId::parse(alloc.id());
      const auto known = id.ok() ? snapshot.alloc(*id) : std::nullopt;
      if (!known || known->node_id().text() != request.node_id()) {
        core_.log.debug("update of an alloc that is not the node's", {{"alloc", alloc.id()}, {"node", request.node_id()}});
        continue;
      }
      *batch->command.add_allocs() = reported(alloc, now);
    }
  }
  core_.metrics.count(Metric::kClientUpdates, count);
  waiting_ += count;
  while (!batch->outcome) {
    Result<> waited = co_await batch->applied.wait();
    if (!waited.ok()) break;
  }
  waiting_ -= count;
  co_return *batch->outcome;
}

io::Task<void> UpdateBatcher::flush_later(std::shared_ptr<Batch> batch) {
  static_cast<void>(co_await batch->closed.wait(io::Deadline::in(core_.loop, core_.settings.update_batch, scope_.token())));
  if (open_ == batch) open_.reset();
  if (batch->command.allocs().empty()) {
    batch->outcome = core_.commands.applied_index();
  } else {
    add_evals(&batch->command);
    batch->command.set_unix_ns(core_.loop.wall().unix_ns);
    auto done = co_await core_.commands.propose(schema::LOG_ALLOC_CLIENT_UPDATE, batch->command);
    if (done.ok()) {
      batch->outcome = done->index;
    } else {
      batch->outcome = std::move(done).error();
    }
  }
  batch->applied.set();
}

void UpdateBatcher::add_evals(schema::LogAllocClientUpdate* command) {
  const state::Snapshot snapshot = core_.store.snapshot();
  const WallTime now = core_.loop.wall();
  std::map<std::string, schema::Evaluation> evals;
  for (const schema::Allocation& update : command->allocs()) {
    const auto view = snapshot.alloc(*AllocId::parse(update.id()));
    if (!view) continue;
    const auto after = state::parse_client_status(update.client_status());
    if (!after.ok()) continue;
    const bool back = view->client_status() == ClientStatus::kUnknown && *after != ClientStatus::kUnknown;
    const bool failed = *after == ClientStatus::kFailed && view->client_status() != ClientStatus::kFailed;
    if (!back && !failed) continue;
    const auto current = snapshot.job(view->ns(), view->job_id());
    if (!current || current->stop()) continue;
    const schema::Job job = current->decode();
    if (!back && !reschedulable(*view, update, job, now)) continue;
    const std::string key = state::job_key(view->ns(), view->job_id());
    if (evals.contains(key)) continue;
    schema::Evaluation eval = new_eval(core_, job.namespace_(), job.id(), job.type(), job.priority(), back ? "reconnect" : "alloc-failure");
    eval.set_job_modify_index(job.job_modify_index());
    evals.emplace(key, std::move(eval));
  }
  for (auto& [key, eval] : evals) *command->add_evals() = std::move(eval);
}

io::Task<void> UpdateBatcher::stop() {
  scope_.request_stop();
  co_await scope_.join();
}

}  // namespace steppe::server
