#include "agent/server/cluster_endpoint.h"

#include <format>

#include "agent/schema/agent.pb.h"
#include "agent/schema/codec.h"
#include "agent/schema/log.pb.h"
#include "agent/schema/rpc.pb.h"
#include "agent/schema/stats.pb.h"
#include "agent/server/garbage.h"
#include "agent/server/periodic.h"
#include "agent/server/query.h"

namespace steppe::server {

using endpoint::Method;
using endpoint::Outcome;
using state::Table;

io::Task<Outcome<>> ClusterEndpoint::leader(const schema::EmptyRequest&, const Call&, schema::StatusLeaderReply& reply) {
  if (core_.leader_address.empty()) co_return endpoint::no_cluster_leader();
  reply.set_leader(core_.leader_address);
  reply.mutable_meta()->set_known_leader(true);
  co_return Outcome<>();
}

io::Task<Outcome<>> ClusterEndpoint::peers(const schema::EmptyRequest&, const Call&, schema::StatusPeersReply& reply) {
  reply.add_peers(core_.settings.rpc_address);
  co_return Outcome<>();
}

io::Task<Outcome<>> ClusterEndpoint::ping(const schema::EmptyRequest&, const Call&, schema::StatusPingReply&) { co_return Outcome<>(); }

io::Task<Outcome<>> ClusterEndpoint::members(const schema::EmptyRequest&, const Call&, schema::ServerMembersReply& reply) {
  const Settings& settings = core_.settings;
  reply.set_server_name(settings.name);
  reply.set_server_region(settings.region);
  reply.set_server_dc(settings.datacenter);
  schema::ServerMember* member = reply.add_members();
  member->set_name(settings.name + "." + settings.region);
  member->set_addr(settings.node_address);
  member->set_port(settings.serf_port);
  member->set_status("alive");
  member->set_protocol_min(1);
  member->set_protocol_max(5);
  member->set_protocol_cur(2);
  member->set_delegate_min(2);
  member->set_delegate_max(5);
  member->set_delegate_cur(4);
  auto& tags = *member->mutable_tags();
  tags["role"] = "nomad";
  tags["region"] = settings.region;
  tags["dc"] = settings.datacenter;
  tags["build"] = "2.0.6";
  tags["raft_vsn"] = "3";
  tags["vsn"] = "1";
  tags["rpc_addr"] = settings.node_address;
  tags["port"] = settings.rpc_address.substr(settings.rpc_address.rfind(':') + 1);
  co_return Outcome<>();
}

io::Task<Outcome<>> ClusterEndpoint::regions(const schema::EmptyRequest&, const Call&, schema::RegionListReply& reply) {
  reply.add_regions(core_.settings.region);
  co_return Outcome<>();
}

io::Task<Outcome<>> ClusterEndpoint::get_scheduler(const schema::EmptyRequest& request, const Call& call, schema::SchedulerConfigurationReply& reply) {
  auto look = [&](const state::Snapshot& snapshot, std::vector<state::WatchKey>& keys) -> Outcome<uint64_t> {
    keys = {state::WatchKey::whole(Table::kSchedulerConfig)};
    *reply.mutable_scheduler_config() = scheduler_config(snapshot);
    return snapshot.table_index(Table::kSchedulerConfig);
  };
  co_return co_await answer(core_, request.query(), call, reply.mutable_meta(), look);
}

io::Task<Outcome<>> ClusterEndpoint::set_scheduler(const schema::SchedulerSetConfigurationRequest& request, const Call&, schema::SchedulerSetConfigurationReply& reply) {
  schema::LogSchedulerConfig command;
  *command.mutable_config() = request.config();
  const std::string& algorithm = request.config().scheduler_algorithm();
  if (algorithm.empty()) command.mutable_config()->set_scheduler_algorithm("binpack");
  if (!algorithm.empty() && algorithm != "binpack" && algorithm != "spread") {
    co_return endpoint::bad_request(std::format("invalid scheduler algorithm \"{}\": binpack or spread", algorithm));
  }
  command.set_cas(request.cas());
  command.set_cas_index(request.config().modify_index());
  STEPPE_CO_TRY(const state::Outcome done, co_await core_.commands.request(schema::LOG_SCHEDULER_CONFIG, command));
  reply.set_updated(done.updated);
  reply.mutable_meta()->set_index(done.index);
  co_return Outcome<>();
}

io::Task<Outcome<>> ClusterEndpoint::reconcile_summaries(const schema::SystemRequest&, const Call&, schema::GenericReply& reply) {
  schema::LogReconcileSummaries command;
  STEPPE_CO_TRY(const state::Outcome done, co_await core_.commands.request(schema::LOG_RECONCILE_SUMMARIES, command));
  reply.mutable_meta()->set_index(done.index);
  co_return Outcome<>();
}

io::Task<Outcome<>> ClusterEndpoint::garbage_collect(const schema::SystemRequest&, const Call&, schema::GenericReply& reply) {
  STEPPE_CO_TRY(const uint64_t index, co_await collect_garbage(core_, GcScope::kForced));
  reply.mutable_meta()->set_index(index);
  co_return Outcome<>();
}

io::Task<Outcome<>> ClusterEndpoint::force_periodic(const schema::PeriodicForceRequest& request, const Call& call, schema::PeriodicForceReply& reply) {
  if (request.job_id().empty()) co_return endpoint::rpc_error("missing job ID for evaluation");
  {
    const state::Snapshot snapshot = core_.store.snapshot();
    const auto job = snapshot.job(call.space(), request.job_id());
    if (!job) co_return endpoint::rpc_error("job not found");
    if (!job->periodic()) co_return endpoint::rpc_error("can't force launch non-periodic job");
  }
  STEPPE_CO_TRY(const PeriodicLauncher::Launched launched, co_await periodic_.force(call.space(), request.job_id()));
  reply.set_eval_id(launched.eval_id);
  reply.set_eval_create_index(launched.index);
  reply.mutable_meta()->set_index(launched.index);
  co_return Outcome<>();
}

io::Task<Outcome<>> ClusterEndpoint::metrics(const schema::AgentRequest& request, const Call&, schema::AgentReply& reply) {
  if (request.format() == "prometheus") {
    reply.set_content_type("text/plain; version=0.0.4");
    reply.set_body(core_.metrics.prometheus());
  } else {
    reply.set_content_type("application/json");
    reply.set_body(schema::write_json(core_.metrics.summary()));
  }
  reply.set_http_status(200);
  co_return Outcome<>();
}

void ClusterEndpoint::add_methods(endpoint::Dispatcher& dispatcher) {
  const auto add = [&]<Method M>(auto member) {
    dispatcher.add<M>(core_.loop, [this, member](const auto& request, const Call& call, auto& reply) { return (this->*member)(request, call, reply); });
  };
  add.operator()<Method::kStatusLeader>(&ClusterEndpoint::leader);
  add.operator()<Method::kStatusPeers>(&ClusterEndpoint::peers);
  add.operator()<Method::kStatusPing>(&ClusterEndpoint::ping);
  add.operator()<Method::kStatusMembers>(&ClusterEndpoint::members);
  add.operator()<Method::kRegionList>(&ClusterEndpoint::regions);
  add.operator()<Method::kOperatorSchedulerGetConfiguration>(&ClusterEndpoint::get_scheduler);
  add.operator()<Method::kOperatorSchedulerSetConfiguration>(&ClusterEndpoint::set_scheduler);
  add.operator()<Method::kSystemReconcileJobSummaries>(&ClusterEndpoint::reconcile_summaries);
  add.operator()<Method::kSystemGarbageCollect>(&ClusterEndpoint::garbage_collect);
  add.operator()<Method::kPeriodicForce>(&ClusterEndpoint::force_periodic);
  add.operator()<Method::kAgentMetrics>(&ClusterEndpoint::metrics);
}

}  // namespace steppe::server
