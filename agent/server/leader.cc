#include "agent/server/leader.h"

#include <algorithm>
#include <deque>
#include <limits>

#include "agent/schema/log.pb.h"
#include "agent/schema/node.pb.h"
#include "agent/schema/plan.pb.h"
#include "agent/server/garbage.h"
#include "agent/server/node_evals.h"
#include "agent/state/job_key.h"

namespace steppe::server {

using state::Change;
using state::NodeStatus;
using state::Snapshot;
using state::Table;
using telemetry::Metric;

namespace {

constexpr Duration kCancelInterval = std::chrono::seconds(5);
constexpr Duration kUnblockFailedInterval = std::chrono::minutes(1);
constexpr Duration kRetry = std::chrono::seconds(1);
// Minutes for which capacity changes are remembered: no scheduling attempt takes as long.
constexpr size_t kUnblockMemory = 15;
constexpr size_t kCancelBatch = 1000;

io::Deadline at_or_stop(std::optional<MonoTime> at, std::stop_token stop) {
  io::Deadline deadline{.stop = std::move(stop)};
  if (at) deadline.at = *at;
  return deadline;
}

}  // namespace

void Leader::start() {
  STEPPE_ASSERT(!core_.leader);
  core_.leader = true;
  core_.leader_known = true;
  stop_ = std::make_unique<std::stop_source>();
  restore();
  if (workers_.empty()) {
    for (size_t i = 0; i < core_.settings.workers; ++i) workers_.push_back(std::make_unique<Worker>(core_, applier_));
  }
  for (const auto& worker : workers_) scope_.spawn(worker->run(stop_->get_token()));
  scope_.spawn(run_broker_timer());
  scope_.spawn(run_heartbeats());
  scope_.spawn(run_failed_reaper());
  scope_.spawn(run_cancel_reaper());
  scope_.spawn(run_minute());
  scope_.spawn(evaluate_lost_nodes());
  scope_.spawn(run_garbage_collection());
  scope_.spawn(deployments_.run(stop_->get_token()));
  scope_.spawn(drainer_.run(stop_->get_token()));
  scope_.spawn(periodic_.run(stop_->get_token()));
  core_.log.info("leadership established", {{"index", core_.commands.applied_index()}});
}

io::Task<void> Leader::stop() {
  if (!core_.leader) co_return;
  core_.leader = false;
  stop_->request_stop();
  co_await scope_.join();
  core_.broker.clear();
  core_.blocked.clear();
  core_.heartbeats.clear();
  core_.log.info("leadership ended");
}

// The broker, the blocked evaluations and the heartbeats are the leader's memory only: made anew from the state.
void Leader::restore() {
  core_.broker.clear();
  core_.blocked.clear();
  core_.heartbeats.clear();
  core_.broker_overflowed = false;
  const Snapshot snapshot = core_.store.snapshot();
  snapshot.each_eval({}, state::Order::kForward, [&](const state::EvalView& eval) {
    if (!eval.terminal()) track_eval(core_, eval.decode());
    return true;
  });
  deployments_.restore(snapshot);
  drainer_.restore(snapshot);
  periodic_.restore(snapshot);
  const MonoTime now = core_.loop.now();
  snapshot.each_node({}, state::Order::kForward, [&](const state::NodeView& node) {
    if (node.status() != NodeStatus::kDown) core_.heartbeats.give_time(node.id(), now);
    return true;
  });
}

// A leader may have gone between a node's going down and storing the evaluations for it: made again for nodes that are
// down with allocs that are not yet over.
io::Task<void> Leader::evaluate_lost_nodes() {
  std::vector<std::pair<NodeId, uint64_t>> lost;
  {
    const Snapshot snapshot = core_.store.snapshot();
    snapshot.each_node({}, state::Order::kForward, [&](const state::NodeView& node) {
      if (node.status() != NodeStatus::kDown) return true;
      const auto allocs = snapshot.allocs_by_node(node.id());
      if (std::ranges::any_of(allocs, [](const state::AllocView& alloc) { return !alloc.terminal(); })) lost.emplace_back(node.id(), node.modify_index());
      return true;
    });
  }
  for (const auto& [node, index] : lost) {
    if (stop_->stop_requested()) co_return;
    auto stored = co_await store_node_evals(core_, node, index);
    if (!stored.ok()) core_.log.warn("no evaluations for a lost node", {{"node", node}, {"error", stored.error()}});
  }
}

void Leader::applied(const Snapshot& before, const Snapshot& after, const state::Outcome& outcome) {
  if (!core_.leader) return;
  for (const EvalId& id : outcome.evals) {
    if (const auto eval = after.eval(id)) track_eval(core_, eval->decode());
  }
  for (const Change& change : outcome.changes) {
    switch (change.table) {
      case Table::kNodes: node_changed(before, after, NodeId(change.id), outcome.index); break;
      case Table::kAllocs: alloc_changed(before, after, AllocId(change.id), outcome.index); break;
      case Table::kJobs: job_changed(after, change.key); break;
      case Table::kDeployments: deployments_.note(DeploymentId(change.id)); break;
      case Table::kSchedulerConfig: core_.evals_ready.pulse(); break;
      default: break;
    }
  }
}

void Leader::node_changed(const Snapshot& before, const Snapshot& after, const NodeId& id, uint64_t index) {
  drainer_.note_node(after, id);
  const auto now = after.node(id);
  if (!now) {
    core_.heartbeats.forget(id);
    core_.beats_changed.pulse();
    return;
  }
  if (!now->placeable()) return;
  const auto was = before.node(id);
  const bool same = was && was->placeable() && was->computed_class() == now->computed_class() && was->status() == now->status();
  if (!same) free_capacity(*now, index);
}

// An alloc that the client is done with gives its part of the node back.
void Leader::alloc_changed(const Snapshot& before, const Snapshot& after, const AllocId& id, uint64_t index) {
  const auto was = before.alloc(id);
  const auto now = after.alloc(id);
  if (now) deployments_.note(now->deployment_id());
  drainer_.note_alloc();
  if (!was || was->client_terminal()) return;
  if (now && !now->client_terminal()) return;
  if (const auto node = after.node(was->node_id()); node && node->placeable()) free_capacity(*node, index);
}

void Leader::free_capacity(const state::NodeView& node, uint64_t index) {
  enqueue_unblocked(core_, core_.blocked.unblock(node.computed_class(), index));
  enqueue_unblocked(core_, core_.blocked.unblock_node(node.id(), index));
}

void Leader::job_changed(const Snapshot& after, const std::string& key) {
  periodic_.note(after, key);
  const size_t zero = key.find('\0');
  const auto job = after.job(key.substr(0, zero), key.substr(zero + 1));
  if (!job || job->stop()) core_.blocked.untrack(key);
}

io::Task<void> Leader::run_broker_timer() {
  const std::stop_token stop = stop_->get_token();
  while (!stop.stop_requested()) {
    core_.broker.expire(core_.loop.now());
    core_.failed_ready.pulse();
    static_cast<void>(co_await core_.evals_ready.wait(at_or_stop(core_.broker.next_deadline(), stop)));
    const auto due = core_.broker.next_deadline();
    if (due && *due <= core_.loop.now()) {
      core_.broker.expire(core_.loop.now());
      core_.evals_ready.pulse();
    }
  }
}

io::Task<void> Leader::run_heartbeats() {
  const std::stop_token stop = stop_->get_token();
  while (!stop.stop_requested()) {
    for (const NodeId& node : core_.heartbeats.expire(core_.loop.now())) scope_.spawn(node_missed(node));
    static_cast<void>(co_await core_.beats_changed.wait(at_or_stop(core_.heartbeats.next_deadline(), stop)));
  }
}

io::Task<void> Leader::node_missed(NodeId node) {
  NodeStatus before = NodeStatus::kDown;
  NodeStatus after = NodeStatus::kDown;
  schema::LogNodeStatus command;
  {
    const Snapshot snapshot = core_.store.snapshot();
    const auto view = snapshot.node(node);
    if (!view || view->status() == NodeStatus::kDown) co_return;
    before = view->status();
    after = status_after_silence(snapshot, *view, core_.loop.wall());
  }
  core_.metrics.count(Metric::kHeartbeatMissed);
  core_.log.warn("node missed its heartbeat", {{"node", node}, {"status", state::text(after)}});
  // A disconnected node is looked at again: at lost_after it is down.
  if (after == NodeStatus::kDisconnected) core_.heartbeats.reset(node, core_.loop.now());
  if (before == after) co_return;
  command.set_node_id(node.text());
  command.set_status(std::string(state::text(after)));
  command.set_unix_ns(core_.loop.wall().unix_ns);
  command.set_updated_at(command.unix_ns() / 1'000'000'000);
  command.mutable_event()->set_message("Node heartbeat missed");
  command.mutable_event()->set_subsystem("Cluster");
  command.mutable_event()->set_timestamp(command.unix_ns());
  auto done = co_await core_.commands.propose(schema::LOG_NODE_STATUS, command);
  if (done.ok()) {
    auto stored = co_await store_node_evals(core_, node, done->index);
    if (stored.ok()) co_return;
    core_.log.error("no evaluations for a silent node", {{"node", node}, {"error", stored.error()}});
  } else {
    core_.log.error("silent node keeps its status", {{"node", node}, {"error", done.error()}});
  }
  // Tried again soon: nobody else would.
  if (core_.leader) core_.heartbeats.reset(node, core_.loop.now());
}

io::Task<void> Leader::run_failed_reaper() {
  const std::stop_token stop = stop_->get_token();
  while (!stop.stop_requested()) {
    while (const auto delivery = core_.broker.dequeue_failed(core_.loop.now())) {
      const bool ended = co_await end_failed(*delivery);
      if (ended) continue;
      static_cast<void>(co_await io::sleep_for(core_.loop, kRetry, stop));
      if (stop.stop_requested()) co_return;
    }
    static_cast<void>(co_await core_.failed_ready.wait({.stop = stop}));
  }
}

// An evaluation that failed three times ends, and one more tries after a while. False: it could not be stored.
io::Task<bool> Leader::end_failed(Delivery delivery) {
  const auto view = core_.store.snapshot().eval(delivery.id);
  if (view && !view->terminal()) {
    schema::Evaluation eval = view->decode();
    const int64_t now = core_.loop.wall().unix_ns;
    const Duration wait = std::chrono::minutes(1) + Duration(static_cast<int64_t>(core_.rng.below(300'000'000'000)));
    schema::Evaluation next = new_eval(core_, eval.namespace_(), eval.job_id(), eval.type(), eval.priority(), "failed-follow-up");
    next.set_job_modify_index(eval.job_modify_index());
    next.set_previous_eval(eval.id());
    next.set_wait(wait.count());
    next.set_wait_until(now + wait.count());
    eval.set_status("failed");
    eval.set_status_description("evaluation reached delivery limit (" + std::to_string(core_.settings.broker.delivery_limit) + ")");
    eval.set_next_eval(next.id());
    eval.set_modify_time(now);
    schema::LogEvalUpsert command;
    *command.add_evals() = std::move(eval);
    *command.add_evals() = std::move(next);
    command.set_unix_ns(now);
    auto done = co_await core_.commands.propose(schema::LOG_EVAL_UPSERT, command);
    if (!done.ok()) {
      core_.log.error("failed evaluation stays open", {{"eval", delivery.id}, {"error", done.error()}});
      static_cast<void>(core_.broker.nack(delivery.id, delivery.token, core_.loop.now()));
      co_return false;
    }
  }
  static_cast<void>(core_.broker.ack(delivery.id, delivery.token, core_.loop.now()));
  core_.evals_ready.pulse();
  co_return true;
}

// Superseded evaluations are marked so in batches.
io::Task<void> Leader::run_cancel_reaper() {
  const std::stop_token stop = stop_->get_token();
  while (!stop.stop_requested()) {
    static_cast<void>(co_await io::sleep_for(core_.loop, kCancelInterval, stop));
    show_gauges();
    std::vector<EvalId> ids = core_.broker.take_cancelable(kCancelBatch);
    const std::vector<EvalId> duplicates = core_.blocked.take_duplicates(kCancelBatch);
    ids.insert(ids.end(), duplicates.begin(), duplicates.end());
    schema::LogEvalUpsert command;
    {
      const Snapshot snapshot = core_.store.snapshot();
      for (const EvalId& id : ids) {
        const auto view = snapshot.eval(id);
        if (!view || view->terminal()) continue;
        schema::Evaluation eval = view->decode();
        const bool was_blocked = view->status() == state::EvalStatus::kBlocked;
        eval.set_status("canceled");
        eval.set_status_description(was_blocked ? "existing blocked evaluation exists for job " + std::string(view->job_id()) : "canceled after more recent eval was processed");
        eval.set_modify_time(core_.loop.wall().unix_ns);
        *command.add_evals() = std::move(eval);
      }
    }
    if (command.evals().empty() || stop.stop_requested()) continue;
    command.set_unix_ns(core_.loop.wall().unix_ns);
    auto done = co_await core_.commands.propose(schema::LOG_EVAL_UPSERT, command);
    if (!done.ok()) core_.log.warn("superseded evaluations stay open", {{"count", command.evals_size()}, {"error", done.error()}});
  }
}

io::Task<void> Leader::run_minute() {
  const std::stop_token stop = stop_->get_token();
  std::deque<uint64_t> minutes;  // the applied index at each, oldest first
  while (!stop.stop_requested()) {
    minutes.push_back(core_.commands.applied_index());
    if (minutes.size() > kUnblockMemory) {
      core_.blocked.prune(minutes.front());
      minutes.pop_front();
    }
    static_cast<void>(co_await io::sleep_for(core_.loop, kUnblockFailedInterval, stop));
    if (stop.stop_requested()) co_return;
    enqueue_unblocked(core_, core_.blocked.unblock_failed());
    if (core_.broker_overflowed && core_.broker.size() < core_.settings.broker.capacity / 2) {
      core_.broker_overflowed = false;
      const Snapshot snapshot = core_.store.snapshot();
      snapshot.each_eval({}, state::Order::kForward, [&](const state::EvalView& eval) {
        if (eval.status() == state::EvalStatus::kPending) track_eval(core_, eval.decode());
        return true;
      });
    }
  }
}

io::Task<void> Leader::run_garbage_collection() {
  const std::stop_token stop = stop_->get_token();
  while (!stop.stop_requested()) {
    static_cast<void>(co_await io::sleep_for(core_.loop, core_.settings.gc.interval, stop));
    if (stop.stop_requested()) co_return;
    auto done = co_await collect_garbage(core_, GcScope::kAged);
    if (!done.ok()) core_.log.warn("garbage collection failed", {{"error", done.error()}});
  }
}

void Leader::show_gauges() {
  const EvalBroker::Stats broker = core_.broker.stats();
  core_.metrics.set(Metric::kBrokerReady, static_cast<double>(broker.ready));
  core_.metrics.set(Metric::kBrokerUnacked, static_cast<double>(broker.unacked));
  core_.metrics.set(Metric::kBrokerPending, static_cast<double>(broker.pending));
  core_.metrics.set(Metric::kBrokerWaiting, static_cast<double>(broker.waiting));
  core_.metrics.set(Metric::kBrokerCancelable, static_cast<double>(broker.cancelable));
  core_.metrics.set(Metric::kBrokerFailed, static_cast<double>(broker.failed));
  core_.metrics.set(Metric::kBlockedTotal, static_cast<double>(core_.blocked.size()));
  core_.metrics.set(Metric::kBlockedEscaped, static_cast<double>(core_.blocked.escaped()));
  core_.metrics.set(Metric::kPlanQueueDepth, static_cast<double>(applier_.depth()));
  core_.metrics.set(Metric::kHeartbeatActive, static_cast<double>(core_.heartbeats.size()));
  core_.metrics.set(Metric::kBlockingQueries, static_cast<double>(core_.blocking_queries));
}

}  // namespace steppe::server
