#include "agent/server/node_evals.h"

#include <algorithm>

#include "agent/model/update_kind.h"
#include "agent/schema/alloc.pb.h"
#include "agent/schema/job.pb.h"
#include "agent/schema/log.pb.h"
#include "agent/schema/plan.pb.h"
#include "agent/state/job_key.h"

namespace steppe::server {

using endpoint::Outcome;
using state::JobType;
using state::NodeStatus;

bool node_change_matters(NodeStatus before, NodeStatus after) {
  if (before == after) return false;
  if (after == NodeStatus::kReady) return before == NodeStatus::kInitializing || before == NodeStatus::kDown || before == NodeStatus::kDisconnected;
  return after == NodeStatus::kDown || after == NodeStatus::kDisconnected || before == NodeStatus::kDisconnected;
}

std::vector<schema::Evaluation> node_evals(Core& core, const state::Snapshot& snapshot, const NodeId& node, uint64_t node_index) {
  struct Affected {
    std::string ns, id;
    JobType type;
    int32_t priority;
    uint64_t modify_index;
  };
  std::map<std::string, Affected> jobs;
  for (const state::AllocView& alloc : snapshot.allocs_by_node(node)) {
    if (alloc.client_terminal()) continue;
    const state::JobSpecView job = alloc.job();
    jobs.try_emplace(state::job_key(job.ns(), job.id()), Affected{std::string(job.ns()), std::string(job.id()), job.type(), job.priority(), job.job_modify_index()});
  }
  snapshot.each_job({}, state::Order::kForward, [&](const state::JobView& job) {
    const bool system = job.type() == JobType::kSystem || job.type() == JobType::kSysBatch;
    if (system && !job.stop() && !job.periodic() && !job.parameterized()) {
      jobs.try_emplace(state::job_key(job.ns(), job.id()), Affected{std::string(job.ns()), std::string(job.id()), job.type(), job.priority(), job.job_modify_index()});
    }
    return true;
  });
  std::vector<schema::Evaluation> evals;
  for (const auto& [key, job] : jobs) {
    schema::Evaluation eval = new_eval(core, job.ns, job.id, state::text(job.type), job.priority, "node-update");
    eval.set_node_id(node.text());
    eval.set_node_modify_index(node_index);
    eval.set_job_modify_index(job.modify_index);
    evals.push_back(std::move(eval));
  }
  return evals;
}

io::Task<Outcome<StoredEvals>> store_node_evals(Core& core, NodeId node, uint64_t node_index) {
  schema::LogEvalUpsert command;
  StoredEvals stored;
  {
    const state::Snapshot snapshot = core.store.snapshot();
    for (schema::Evaluation& eval : node_evals(core, snapshot, node, node_index)) {
      stored.ids.push_back(eval.id());
      *command.add_evals() = std::move(eval);
    }
  }
  if (stored.ids.empty()) co_return stored;
  command.set_unix_ns(core.loop.wall().unix_ns);
  STEPPE_CO_TRY(const state::Outcome done, co_await core.commands.propose(schema::LOG_EVAL_UPSERT, command));
  stored.index = done.index;
  co_return stored;
}

NodeStatus status_after_silence(const state::Snapshot& snapshot, const state::NodeView& node, WallTime now) {
  if (node.status() != NodeStatus::kReady && node.status() != NodeStatus::kDisconnected) return NodeStatus::kDown;
  for (const state::AllocView& view : snapshot.allocs_by_node(node.id())) {
    if (view.terminal()) continue;
    const schema::Job job = view.job().decode();
    const schema::TaskGroup* group = model::find_group(job, view.task_group());
    if (group == nullptr || !group->has_disconnect() || group->disconnect().lost_after() <= 0) continue;
    if (view.client_status() != state::ClientStatus::kUnknown) return NodeStatus::kDisconnected;
    // Unknown since when: the last time it became so.
    int64_t since = 0;
    const schema::Allocation alloc = view.decode(state::WithJob::kNo);
    for (const schema::AllocState& change : alloc.alloc_states()) {
      if (change.value() == "unknown") since = std::max(since, change.time());
    }
    if (since + group->disconnect().lost_after() > now.unix_ns) return NodeStatus::kDisconnected;
  }
  return NodeStatus::kDown;
}

}  // namespace steppe::server
