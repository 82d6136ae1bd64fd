#include "agent/config/fields.h"

namespace steppe::config {
namespace {

void describe_ports(Fields& f, Ports& ports) {
  f.integer("http", ports.http, 0, 65535);
  f.integer("rpc", ports.rpc, 0, 65535);
  f.integer("serf", ports.serf, 0, 65535);
}

void describe_addresses(Fields& f, Addresses& addresses) {
  f.text("http", addresses.http);
  f.text("rpc", addresses.rpc);
  f.text("serf", addresses.serf);
}

void describe_acl(Fields& f, Acl& acl) {
  f.not_acted_on();
  f.flag("enabled", acl.enabled);
  f.duration("token_ttl", acl.token_ttl);
  f.duration("policy_ttl", acl.policy_ttl);
  f.duration("role_ttl", acl.role_ttl);
  f.duration("token_min_expiration_ttl", acl.token_min_expiration_ttl);
  f.duration("token_max_expiration_ttl", acl.token_max_expiration_ttl);
  f.secret("replication_token", acl.replication_token);
}

void describe_tls(Fields& f, Tls& tls) {
  f.not_acted_on();
  f.flag("http", tls.http);
  f.flag("rpc", tls.rpc);
  f.flag("verify_server_hostname", tls.verify_server_hostname);
  f.flag("verify_https_client", tls.verify_https_client);
  f.flag("rpc_upgrade_mode", tls.rpc_upgrade_mode);
  f.text("ca_file", tls.ca_file);
  f.text("cert_file", tls.cert_file);
  f.text("key_file", tls.key_file);
  f.text("tls_cipher_suites", tls.tls_cipher_suites);
  f.text("tls_min_version", tls.tls_min_version);
}

void describe_telemetry(Fields& f, Telemetry& telemetry) {
  f.duration("in_memory_collection_interval", telemetry.in_memory_collection_interval);
  f.duration("in_memory_retention_period", telemetry.in_memory_retention_period);
  f.duration("collection_interval", telemetry.collection_interval);
  f.flag("prometheus_metrics", telemetry.prometheus_metrics);
  f.flag("disable_hostname", telemetry.disable_hostname);
  f.flag("use_node_name", telemetry.use_node_name);
  f.flag("publish_allocation_metrics", telemetry.publish_allocation_metrics);
  f.flag("publish_node_metrics", telemetry.publish_node_metrics);
  f.texts("prefix_filter", telemetry.prefix_filter);
  f.flag("filter_default", telemetry.filter_default);
  ignore_all(f, {"statsite_address",
                 "statsd_address",
                 "datadog_address",
                 "datadog_tags",
                 "include_alloc_metadata_in_metrics",
                 "allowed_metadata_keys_in_metrics",
                 "disable_dispatched_job_summary_metrics",
                 "disable_quota_utilization_metrics",
                 "disable_rpc_rate_metrics_labels",
                 "disable_allocation_hook_metrics",
                 "circonus_api_token",
                 "circonus_api_app",
                 "circonus_api_url",
                 "circonus_submission_interval",
                 "circonus_submission_url",
                 "circonus_check_id",
                 "circonus_check_force_metric_activation",
                 "circonus_check_instance_id",
                 "circonus_check_search_tag",
                 "circonus_check_tags",
                 "circonus_check_display_name",
                 "circonus_broker_id",
                 "circonus_broker_select_tag"});
}

void describe_limits(Fields& f, Limits& limits) {
  f.duration("https_handshake_timeout", limits.https_handshake_timeout);
  f.integer("http_max_conns_per_client", limits.http_max_conns_per_client);
  f.duration("rpc_handshake_timeout", limits.rpc_handshake_timeout);
  f.integer("rpc_max_conns_per_client", limits.rpc_max_conns_per_client);
}

void describe_ui(Fields& f, AgentConfig& config) {
  f.flag("enabled", config.ui_enabled);
  ignore_all(f, {"show_cli_hints", "content_security_policy", "consul", "vault", "label"});
}

// Blocks of which only the names matter: their keys are known, and nothing here acts on them.
void describe_rpc(Fields& f) {
  ignore_all(f, {"accept_backlog", "keep_alive_interval", "connection_write_timeout", "stream_open_timeout",
                 "stream_close_timeout", "dial_timeout"});
}
void describe_eventlog(Fields& f) { ignore_all(f, {"enabled", "level"}); }
void describe_autopilot(Fields& f) {
  ignore_all(f, {"cleanup_dead_servers", "last_contact_threshold", "max_trailing_logs", "min_quorum",
                 "server_stabilization_time", "enable_redundancy_zones", "disable_upgrade_migration",
                 "enable_custom_upgrades"});
}
void describe_consul(Fields& f) {
  ignore_all(f, {"name",
                 "address",
                 "grpc_address",
                 "grpc_ca_file",
                 "token",
                 "auth",
                 "ssl",
                 "share_ssl",
                 "verify_ssl",
                 "ca_file",
                 "cert_file",
                 "key_file",
                 "namespace",
                 "timeout",
                 "tags",
                 "auto_advertise",
                 "checks_use_advertise",
                 "server_auto_join",
                 "client_auto_join",
                 "server_service_name",
                 "server_http_check_name",
                 "server_rpc_check_name",
                 "server_serf_check_name",
                 "server_failures_before_critical",
                 "server_failures_before_warning",
                 "client_service_name",
                 "client_http_check_name",
                 "client_failures_before_critical",
                 "client_failures_before_warning",
                 "service_auth_method",
                 "task_auth_method",
                 "service_identity",
                 "task_identity"});
}
void describe_vault(Fields& f) {
  ignore_all(
      f, {"name", "enabled", "address", "namespace", "create_from_role", "jwt_auth_backend_path", "ca_file", "ca_path",
          "cert_file", "key_file", "tls_server_name", "tls_skip_verify", "token", "default_identity"});
}
void describe_enterprise(Fields& f) {
  f.block("sentinel", [](Fields& in) { ignore_all(in, {"import", "additional_enabled_modules"}); });
  f.block("audit", [](Fields& in) { ignore_all(in, {"enabled", "sink", "filter"}); });
  f.block("reporting", [](Fields& in) {
    ignore_all(in,
               {"license", "address", "export_interval", "snapshot_retention_time", "disable_product_usage_reporting"});
  });
}

void describe_logging(Fields& f, AgentConfig& config) {
  f.text("log_level", config.log_level);
  f.flag("log_json", config.log_json);
  f.text("log_file", config.log_file);
  f.flag("log_include_location", config.log_include_location);
  f.duration("log_rotate_duration", config.log_rotate_duration);
  f.integer("log_rotate_bytes", config.log_rotate_bytes);
  f.integer("log_rotate_max_files", config.log_rotate_max_files);
  ignore_all(f, {"enable_syslog", "syslog_facility"});
}

}  // namespace

void ignore_all(Fields& fields, std::initializer_list<std::string_view> keys) {
  for (std::string_view key : keys) fields.ignored(key);
}

void describe(Fields& f, AgentConfig& config) {
  f.text("region", config.region);
  f.text("datacenter", config.datacenter);
  f.text("name", config.name);
  f.text("data_dir", config.data_dir);
  f.text("plugin_dir", config.plugin_dir);
  f.text("bind_addr", config.bind_addr);
  describe_logging(f, config);
  f.flag("enable_debug", config.enable_debug);
  f.flag("leave_on_interrupt", config.leave_on_interrupt);
  f.flag("leave_on_terminate", config.leave_on_terminate);
  f.map("http_api_response_headers", config.http_api_response_headers);
  // We phone home neither way.
  ignore_all(f, {"disable_update_check", "disable_anonymous_signature"});
  f.block("ports", [&](Fields& in) { describe_ports(in, config.ports); });
  f.block("addresses", [&](Fields& in) { describe_addresses(in, config.addresses); });
  f.block("advertise", [&](Fields& in) { describe_addresses(in, config.advertise); });
  f.block("server", [&](Fields& in) { describe_server(in, config.server); });
  f.block("client", [&](Fields& in) { describe_client(in, config.client); });
  f.block("acl", [&](Fields& in) { describe_acl(in, config.acl); });
  f.block("tls", [&](Fields& in) { describe_tls(in, config.tls); });
  f.block("telemetry", [&](Fields& in) { describe_telemetry(in, config.telemetry); });
  f.block("limits", [&](Fields& in) { describe_limits(in, config.limits); });
  f.block("ui", [&](Fields& in) { describe_ui(in, config); });
  f.block("rpc", describe_rpc);
  f.block("eventlog", describe_eventlog);
  f.block("autopilot", describe_autopilot);
  f.block("consul", describe_consul);
  f.block("vault", describe_vault);
  describe_enterprise(f);
  f.ignored("keyring");
  f.named_blocks("plugin", names_of(config.plugins), [&](Fields& in, const std::string& label) {
    Plugin& plugin = config.plugins[label];
    in.texts("args", plugin.args);
    in.opaque("config", plugin.config);
  });
}

}  // namespace steppe::config
