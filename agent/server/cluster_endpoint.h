#pragma once

#include "agent/endpoint/dispatcher.h"
#include "agent/server/core.h"

namespace steppe::server {

class PeriodicLauncher;

// The Status.*, Region.*, System.*, Operator.*, Periodic.* and Agent.Metrics methods.
class ClusterEndpoint {
 public:
  ClusterEndpoint(Core& core, PeriodicLauncher& periodic) : core_(core), periodic_(periodic) {}
  void add_methods(endpoint::Dispatcher& dispatcher);

 private:
  using Done = io::Task<endpoint::Outcome<>>;
  using Call = endpoint::Call;

  Done leader(const schema::EmptyRequest& request, const Call& call, schema::StatusLeaderReply& reply);
  Done peers(const schema::EmptyRequest& request, const Call& call, schema::StatusPeersReply& reply);
  Done ping(const schema::EmptyRequest& request, const Call& call, schema::StatusPingReply& reply);
  Done members(const schema::EmptyRequest& request, const Call& call, schema::ServerMembersReply& reply);
  Done regions(const schema::EmptyRequest& request, const Call& call, schema::RegionListReply& reply);
  Done get_scheduler(const schema::EmptyRequest& request, const Call& call, schema::SchedulerConfigurationReply& reply);
  Done set_scheduler(const schema::SchedulerSetConfigurationRequest& request, const Call& call, schema::SchedulerSetConfigurationReply& reply);
  Done garbage_collect(const schema::SystemRequest& request, const Call& call, schema::GenericReply& reply);
  Done force_periodic(const schema::PeriodicForceRequest& request, const Call& call, schema::PeriodicForceReply& reply);
  Done reconcile_summaries(const schema::SystemRequest& request, const Call& call, schema::GenericReply& reply);
  Done metrics(const schema::AgentRequest& request, const Call& call, schema::AgentReply& reply);

  Core& core_;
  PeriodicLauncher& periodic_;
};

}  // namespace steppe::server
