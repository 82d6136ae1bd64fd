#include "agent/server/drainer.h"

#include <algorithm>

#include "agent/schema/log.pb.h"
#include "agent/schema/node.pb.h"
#include "agent/schema/plan.pb.h"
#include "agent/state/job_key.h"

namespace steppe::server {

using endpoint::Outcome;
using state::Snapshot;

namespace {

constexpr Duration kDrainGather = std::chrono::milliseconds(250);
constexpr Duration kDrainRetry = std::chrono::seconds(1);
constexpr size_t kMaxMarks = 1000;  // in one log entry; the rest goes with the next look

}  // namespace

void Drainer::note_node(const Snapshot& snapshot, const NodeId& id) {
  const auto node = snapshot.node(id);
  const bool draining = node && node->draining();
  if (draining) {
    draining_.insert(id);
  } else if (draining_.erase(id) == 0) {
    return;
  }
  pending_ = true;
  changed_.pulse();
}

void Drainer::restore(const Snapshot& snapshot) {
  draining_.clear();
  snapshot.each_node({}, state::Order::kForward, [&](const state::NodeView& node) {
    if (node.draining()) draining_.insert(node.id());
    return true;
  });
  pending_ = !draining_.empty();
}

io::Task<void> Drainer::run(std::stop_token stop) {
  while (!stop.stop_requested()) {
    if (!pending_) {
      io::Deadline deadline{.stop = stop};
      if (deadline_) deadline.at = core_.loop.now() + std::max(Duration::zero(), *deadline_ - core_.loop.wall());
      static_cast<void>(co_await changed_.wait(deadline));
    }
    static_cast<void>(co_await io::sleep_for(core_.loop, kDrainGather, stop));
    if (stop.stop_requested()) co_return;
    pending_ = false;
    Outcome<> done = co_await step();
    if (done.ok()) continue;
    core_.log.warn("drain step failed, tried again", {{"error", done.error()}});
    deadline_ = core_.loop.wall() + kDrainRetry;
  }
}

io::Task<Outcome<>> Drainer::step() {
  schema::LogAllocDesiredTransition command;
  DrainStep step;
  {
    const Snapshot snapshot = core_.store.snapshot();
    step = plan_drains(snapshot, draining_, core_.loop.wall());
    deadline_ = step.deadline;
    if (step.migrate.size() > kMaxMarks) {
      step.migrate.resize(kMaxMarks);
      pending_ = true;
    }
    std::set<std::string> jobs;
    for (const AllocId& id : step.migrate) {
      const auto alloc = snapshot.alloc(id);
      if (!alloc) continue;
      (*command.mutable_transitions())[id.text()].set_migrate(true);
      if (!jobs.insert(state::job_key(alloc->ns(), alloc->job_id())).second) continue;
      const state::JobSpecView job = alloc->job();
      schema::Evaluation eval = new_eval(core_, alloc->ns(), alloc->job_id(), state::text(job.type()), job.priority(), "node-drain");
      eval.set_node_id(alloc->node_id().text());
      *command.add_evals() = std::move(eval);
    }
  }
  if (!command.transitions().empty()) {
    command.set_unix_ns(core_.loop.wall().unix_ns);
    STEPPE_CO_TRY_VOID(co_await core_.commands.propose(schema::LOG_ALLOC_DESIRED_TRANSITION, command));
  }
  for (const NodeId& node : step.done) STEPPE_CO_TRY_VOID(co_await finish(node));
  co_return Outcome<>();
}

io::Task<Outcome<>> Drainer::finish(NodeId node) {
  schema::LogNodeDrain command;
  command.set_node_id(node.text());
  command.set_drain_completed(true);
  command.set_unix_ns(core_.loop.wall().unix_ns);
  command.set_updated_at(command.unix_ns() / 1'000'000'000);
  command.mutable_event()->set_message("Node drain complete");
  command.mutable_event()->set_subsystem("Drain");
  command.mutable_event()->set_timestamp(command.unix_ns());
  STEPPE_CO_TRY_VOID(co_await core_.commands.propose(schema::LOG_NODE_DRAIN, command));
  core_.log.info("node drained", {{"node", node}});
  co_return Outcome<>();
}

}  // namespace steppe::server
