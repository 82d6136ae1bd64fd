#include "agent/server/server.h"

#include "agent/server/cluster_endpoint.h"
#include "agent/server/deployment_endpoint.h"
#include "agent/server/job_endpoint.h"
#include "agent/server/leader.h"
#include "agent/server/node_endpoint.h"
#include "agent/server/object_endpoint.h"
#include "agent/server/plan_applier.h"
#include "agent/server/update_batcher.h"

namespace steppe::server {

struct Server::Parts {
  Parts(io::Loop& loop, Rng& rng, log::Logger log, telemetry::Registry& metrics, Settings settings)
      : core(loop, rng, std::move(log), metrics, std::move(settings)),
        applier(core),
        leader(core, applier),
        updates(core),
        jobs(core),
        nodes(core, updates),
        objects(core),
        deployments(core),
        cluster(core, leader.periodic()) {
    core.commands.set_applied([this](const state::Snapshot& before, const state::Snapshot& after, const state::Outcome& outcome) {
      leader.applied(before, after, outcome);
    });
  }

  Core core;
  PlanApplier applier;
  Leader leader;
  UpdateBatcher updates;
  JobEndpoint jobs;
  NodeEndpoint nodes;
  ObjectEndpoint objects;
  DeploymentEndpoint deployments;
  ClusterEndpoint cluster;
};

Server::Server(io::Loop& loop, Rng& rng, log::Logger log, telemetry::Registry& metrics, Settings settings)
    : parts_(std::make_unique<Parts>(loop, rng, std::move(log), metrics, std::move(settings))) {}
Server::~Server() = default;

void Server::add_methods(endpoint::Dispatcher& dispatcher) {
  parts_->jobs.add_methods(dispatcher);
  parts_->nodes.add_methods(dispatcher);
  parts_->objects.add_methods(dispatcher);
  parts_->deployments.add_methods(dispatcher);
  parts_->cluster.add_methods(dispatcher);
}

void Server::set_proposer(Proposer* proposer) { parts_->core.commands.set_proposer(proposer); }
Result<> Server::apply(uint64_t index, ByteView entry) { return parts_->core.commands.apply(index, entry); }
state::Store& Server::store() { return parts_->core.store; }
uint64_t Server::applied_index() const { return parts_->core.commands.applied_index(); }

void Server::establish() {
  parts_->core.leader_address = parts_->core.settings.rpc_address;
  parts_->leader.start();
}

io::Task<void> Server::revoke() {
  parts_->core.leader_address.clear();
  parts_->core.leader_known = false;
  co_await parts_->leader.stop();
}

void Server::set_leader(std::string rpc_address) {
  parts_->core.leader_known = !rpc_address.empty();
  parts_->core.leader_address = std::move(rpc_address);
}

io::Task<void> Server::stop() {
  co_await parts_->leader.stop();
  co_await parts_->updates.stop();
}

}  // namespace steppe::server
