#include "agent/server/drain_rules.h"

#include <algorithm>
#include <map>

#include "agent/model/update_kind.h"
#include "agent/schema/job.pb.h"
#include "agent/schema/node.pb.h"
#include "agent/state/job_key.h"

namespace steppe::server {

using state::AllocView;
using state::JobType;

namespace {

bool is_system(const AllocView& alloc) { return alloc.job().type() == JobType::kSystem || alloc.job().type() == JobType::kSysBatch; }

// Allocs without a deployment are watched by nobody: running is healthy.
bool healthy(const AllocView& alloc) {
  if (alloc.terminal() || alloc.client_status() != state::ClientStatus::kRunning) return false;
  return alloc.healthy() ? *alloc.healthy() : alloc.deployment_id().nil();
}

class Planner {
 public:
  Planner(const state::Snapshot& snapshot, const std::set<NodeId>& draining, WallTime now) : snapshot_(snapshot), draining_(draining), now_(now) {}

  DrainStep run() {
    for (const NodeId& id : draining_) {
      if (const auto node = snapshot_.node(id); node && node->draining()) drain_node(*node);
    }
    for (const auto& [key, group] : groups_) drain_group(key, group);
    return std::move(step_);
  }

 private:
  using GroupKey = std::pair<std::string, std::string>;  // job key, group
  struct Group {
    std::string ns, job_id;
    std::vector<AllocId> drainable;
  };

  void mark(const AllocView& alloc) {
    if (!alloc.migrate()) step_.migrate.push_back(alloc.id());
  }

  void drain_node(const state::NodeView& view) {
    const schema::DrainStrategy strategy = view.decode().drain_strategy();
    const bool forced = strategy.deadline() < 0 || (strategy.force_deadline() > 0 && strategy.force_deadline() <= now_.unix_ns);
    if (!forced && strategy.force_deadline() > 0) {
      const WallTime at{strategy.force_deadline()};
      if (!step_.deadline || at < *step_.deadline) step_.deadline = at;
    }
    bool others_left = false;
    bool system_left = false;
    const std::vector<AllocView> allocs = snapshot_.allocs_by_node(view.id());
    for (const AllocView& alloc : allocs) {
      if (alloc.client_terminal()) continue;
      if (is_system(alloc)) {
        system_left = system_left || !strategy.ignore_system_jobs();
        continue;
      }
      others_left = true;
      if (forced) {
        mark(alloc);
      } else if (alloc.job().type() == JobType::kService && !alloc.terminal() && !alloc.migrate()) {
        Group& group = groups_[{state::job_key(alloc.ns(), alloc.job_id()), std::string(alloc.task_group())}];
        group.ns = alloc.ns();
        group.job_id = alloc.job_id();
        group.drainable.push_back(alloc.id());
      }
    }
    if (system_left && (forced || !others_left)) {
      for (const AllocView& alloc : allocs) {
        if (!alloc.client_terminal() && is_system(alloc)) mark(alloc);
      }
    }
    if (!others_left && !system_left) step_.done.push_back(view.id());
  }

  void drain_group(const GroupKey& key, const Group& group) {
    const auto job = snapshot_.job(group.ns, group.job_id);
    int64_t count = 0;
    int64_t max_parallel = 1;
    if (job) {
      const schema::Job spec = job->decode();
      if (const schema::TaskGroup* task_group = model::find_group(spec, key.second); task_group != nullptr && !job->stop()) {
        count = task_group->count();
        if (task_group->has_migrate()) max_parallel = task_group->migrate().max_parallel();
      }
    }
    int64_t alive = 0;
    for (const AllocView& alloc : snapshot_.allocs_by_job(group.ns, group.job_id, state::Incarnation::kCurrent)) {
      if (alloc.task_group() == key.second && !alloc.migrate() && healthy(alloc)) ++alive;
    }
    const int64_t most = std::min<int64_t>(alive - (count - max_parallel), static_cast<int64_t>(group.drainable.size()));
    for (int64_t i = 0; i < most; ++i) step_.migrate.push_back(group.drainable[static_cast<size_t>(i)]);
  }

  const state::Snapshot& snapshot_;
  const std::set<NodeId>& draining_;
  WallTime now_;
  DrainStep step_;
  std::map<GroupKey, Group> groups_;
};

}  // namespace

DrainStep plan_drains(const state::Snapshot& snapshot, const std::set<NodeId>& draining, WallTime now) { return Planner(snapshot, draining, now).run(); }

}  // namespace steppe::server
