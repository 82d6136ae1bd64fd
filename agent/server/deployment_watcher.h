#pragma once

#include <map>
#include <optional>
#include <set>

#include "agent/server/core.h"
#include "agent/server/deployment_rules.h"

namespace steppe::server {

// Follows the running deployments: acts on their allocs' health and on their deadlines (deployment_rules.h). Leader only.
class DeploymentWatcher {
 public:
  explicit DeploymentWatcher(Core& core) : core_(core), changed_(core.loop) {}

  // Something about the deployment, or an alloc of it, changed.
  void note(const DeploymentId& id);
  void restore(const state::Snapshot& snapshot);
  io::Task<void> run(std::stop_token stop);

 private:
  struct Watched {
    uint64_t seen_index = 0;
    std::optional<WallTime> deadline;
  };
  // Everything that one look needs, out of one snapshot.
  struct Picture;

  io::Task<void> look_at(DeploymentId id);
  std::optional<MonoTime> next_deadline() const;

  Core& core_;
  io::Event changed_;
  std::set<DeploymentId> noted_;
  std::map<DeploymentId, Watched> watched_;
};

// Fails a deployment that runs, rolling its job back where wanted. Gives the version rolled back to.
struct FailedDeployment {
  uint64_t index = 0;
  std::string eval_id;
  std::optional<uint64_t> reverted_to;
};
io::Task<endpoint::Outcome<FailedDeployment>> fail_deployment(Core& core, DeploymentId id, std::string_view why, bool rollback);

// The evaluation that a change of the deployment asks for.
schema::Evaluation deployment_eval(Core& core, const schema::Deployment& deployment, const state::JobView& job);

}  // namespace steppe::server
