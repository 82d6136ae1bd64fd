#include "agent/config/fields.h"

namespace steppe::config {
namespace {

void describe_gc(Fields& f, Server& server) {
  f.duration("node_gc_threshold", server.node_gc_threshold);
  f.duration("job_gc_interval", server.job_gc_interval);
  f.duration("job_gc_threshold", server.job_gc_threshold);
  f.duration("eval_gc_threshold", server.eval_gc_threshold);
  f.duration("batch_eval_gc_threshold", server.batch_eval_gc_threshold);
  f.duration("deployment_gc_threshold", server.deployment_gc_threshold);
  ignore_all(
      f, {"csi_volume_claim_gc_interval", "csi_volume_claim_gc_threshold", "csi_plugin_gc_threshold",
          "acl_token_gc_threshold", "root_key_gc_interval", "root_key_gc_threshold", "root_key_rotation_threshold"});
}

void describe_raft(Fields& f, Server& server) {
  f.integer("raft_multiplier", server.raft_multiplier, 1, 10);
  f.integer("raft_snapshot_threshold", server.raft_snapshot_threshold, 1);
  f.duration("raft_snapshot_interval", server.raft_snapshot_interval);
  f.integer("raft_trailing_logs", server.raft_trailing_logs, 0);
  // The log is our own: what Nomad's two backends can be told does not apply.
  ignore_all(f, {"protocol_version", "raft_protocol", "raft_boltdb", "raft_logstore"});
}

void describe_jobs(Fields& f, Server& server) {
  f.integer("job_default_priority", server.job_default_priority, 50, 32766);
  f.integer("job_max_priority", server.job_max_priority, 100, 32766);
  f.integer("job_max_count", server.job_max_count);
  f.text("job_max_source_size", server.job_max_source_size);
  f.integer("job_tracked_versions", server.job_tracked_versions, 1);
}

void describe_scheduler(Fields& f, SchedulerDefaults& scheduler) {
  f.text("scheduler_algorithm", scheduler.algorithm);
  f.flag("memory_oversubscription_enabled", scheduler.memory_oversubscription);
  f.flag("reject_job_registration", scheduler.reject_job_registration);
  f.flag("pause_eval_broker", scheduler.pause_eval_broker);
  f.integer("node_limit_for_feasibility_checks", scheduler.node_limit);
  f.block("preemption_config", [&](Fields& in) {
    in.flag("system_scheduler_enabled", scheduler.preempt_system);
    in.flag("sysbatch_scheduler_enabled", scheduler.preempt_sysbatch);
    in.flag("batch_scheduler_enabled", scheduler.preempt_batch);
    in.flag("service_scheduler_enabled", scheduler.preempt_service);
  });
}

}  // namespace

void describe_join(Fields& f, ServerJoin& join) {
  f.texts("start_join", join.start_join, Fields::Lists::kAppend);
  f.texts("retry_join", join.retry_join, Fields::Lists::kAppend);
  f.integer("retry_max", join.retry_max);
  f.duration("retry_interval", join.retry_interval);
}

void describe_server(Fields& f, Server& server) {
  f.flag("enabled", server.enabled);
  f.integer("bootstrap_expect", server.bootstrap_expect, 0, 9);
  f.text("authoritative_region", server.authoritative_region);
  f.text("data_dir", server.data_dir);
  f.optional_integer("num_schedulers", server.num_schedulers, 0, 4096);
  f.texts("enabled_schedulers", server.enabled_schedulers);
  f.duration("heartbeat_grace", server.heartbeat_grace);
  f.duration("min_heartbeat_ttl", server.min_heartbeat_ttl);
  f.duration("failover_heartbeat_ttl", server.failover_heartbeat_ttl);
  f.real("max_heartbeats_per_second", server.max_heartbeats_per_second);
  f.flag("rejoin_after_leave", server.rejoin_after_leave);
  f.secret("encrypt", server.encrypt);
  f.flag("enable_event_broker", server.enable_event_broker);
  f.integer("event_buffer_size", server.event_buffer_size);
  f.integer("plan_apply_pipeline", server.plan_apply_pipeline, 1, 64);
  f.duration("start_timeout", server.start_timeout);
  describe_raft(f, server);
  describe_gc(f, server);
  describe_jobs(f, server);
  // The older spellings of server_join, in the server block itself.
  describe_join(f, server.join);
  f.block("server_join", [&](Fields& in) { describe_join(in, server.join); });
  f.block("default_scheduler_config", [&](Fields& in) { describe_scheduler(in, server.scheduler); });
  f.block("plan_rejection_tracker", [](Fields& in) { ignore_all(in, {"enabled", "node_threshold", "node_window"}); });
  f.block("search",
          [](Fields& in) { ignore_all(in, {"fuzzy_enabled", "limit_query", "limit_results", "min_term_length"}); });
  f.block("client_introduction",
          [](Fields& in) { ignore_all(in, {"enforcement", "default_identity_ttl", "max_identity_ttl"}); });
  ignore_all(f, {"non_voting_server", "redundancy_zone", "upgrade_version", "license_path", "deploy_query_rate_limit",
                 "oidc_issuer", "log_file", "non_production"});
}

}  // namespace steppe::config
