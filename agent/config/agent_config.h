#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "drivers/api/config_value.h"
#include "init/base/clock.h"
#include "init/base/secret.h"

// The agent's configuration, as Nomad's files write it, in types. A member's initial value is the default. Zero, empty
// text or an absent optional mean "not said" where the comment says so.
namespace steppe::config {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

using TextMap = std::map<std::string, std::string, std::less<>>;
using TextList = std::vector<std::string>;

struct Ports {
  int64_t http = 4646, rpc = 4647, serf = 4648;
};

struct Addresses {  // empty: bind_addr, or for `advertise` the machine's own address
  std::string http, rpc, serf;
};

struct ServerJoin {
  TextList start_join, retry_join;
  int64_t retry_max = 0;
  Duration retry_interval = seconds(30);
};

struct SchedulerDefaults {
  std::string algorithm = "binpack";
  bool memory_oversubscription = false, reject_job_registration = false, pause_eval_broker = false;
  bool preempt_system = true, preempt_sysbatch = false, preempt_batch = false, preempt_service = false;
  int64_t node_limit = 100;
};

struct Server {
  bool enabled = false;
  int64_t bootstrap_expect = 0;
  std::string authoritative_region, data_dir;
  int64_t raft_multiplier = 1, raft_snapshot_threshold = 8192, raft_trailing_logs = 10240;
  Duration raft_snapshot_interval = seconds(120);
  std::optional<int64_t> num_schedulers;
  TextList enabled_schedulers;
  Duration node_gc_threshold = hours(24), job_gc_interval = minutes(5), job_gc_threshold = hours(4),
           eval_gc_threshold = hours(1), batch_eval_gc_threshold = hours(24), deployment_gc_threshold = hours(1);
  Duration heartbeat_grace = seconds(10), min_heartbeat_ttl = seconds(10), failover_heartbeat_ttl = seconds(300);
  double max_heartbeats_per_second = 50;
  bool rejoin_after_leave = false;
  Secret encrypt;
  bool enable_event_broker = true;
  int64_t event_buffer_size = 100, plan_apply_pipeline = 1;
  int64_t job_default_priority = 50, job_max_priority = 100, job_max_count = 50000, job_tracked_versions = 6;
  std::string job_max_source_size = "1M";
  Duration start_timeout = seconds(30);
  ServerJoin join;
  SchedulerDefaults scheduler;
};

struct Reserved {
  int64_t cpu = 0, memory = 0, disk = 0;
  std::string reserved_ports, cores;
};

struct HostVolume {
  std::string path;
  bool read_only = false;
};

struct HostNetwork {
  std::string cidr, interface, reserved_ports;
};

struct TemplateSettings {
  TextList function_denylist = {"executeTemplate", "plugin", "writeToFile"};
  bool disable_file_sandbox = false;
};

struct ArtifactLimits {
  Duration http_read_timeout = minutes(30);
  std::string http_max_size = "100GB", decompression_size_limit = "100GB", set_environment_variables;
  int64_t decompression_file_count_limit = 4096;
  bool disable_filesystem_isolation = false, disable_artifact_inspection = false;
};

struct Client {
  bool enabled = false;
  std::string state_dir, alloc_dir, alloc_mounts_dir, host_volumes_dir;
  TextList servers;
  ServerJoin join;
  std::string node_class, node_pool = "default";
  TextMap meta, options, chroot_env;
  std::string network_interface, preferred_address_family;
  int64_t network_speed = 0, cpu_total_compute = 0, memory_total_mb = 0, disk_total_mb = 0,
          disk_free_mb = 0;  // 0: as found
  std::string reservable_cores;
  int64_t min_dynamic_port = 20000, max_dynamic_port = 32000;
  Duration max_kill_timeout = seconds(30), gc_interval = minutes(1);
  int64_t gc_parallel_destroys = 2, gc_max_allocs = 50, node_max_allocs = 0;
  double gc_disk_usage_threshold = 80, gc_inode_usage_threshold = 70;
  bool no_host_uuid = true, disable_remote_exec = false, bind_wildcard_default_host_network = true,
       default_ineligible = false;
  std::string cni_path = "/opt/cni/bin", cni_config_dir = "/opt/cni/config";
  std::string bridge_network_name = "nomad", bridge_network_subnet = "172.26.64.0/20", bridge_network_subnet_ipv6;
  bool bridge_network_hairpin_mode = false;
  std::string cgroup_parent = "nomad.slice";
  Reserved reserved;
  std::map<std::string, HostVolume, std::less<>> host_volumes;
  std::map<std::string, HostNetwork, std::less<>> host_networks;
  TemplateSettings templates;
  ArtifactLimits artifact;
  bool drain_on_shutdown = false;  // the block is there
  Duration drain_deadline = hours(1);
  bool drain_force = false, drain_ignore_system_jobs = false;
  int64_t dynamic_user_min = 80000, dynamic_user_max = 89999;
};

struct Acl {
  bool enabled = false;
  Duration token_ttl = seconds(30), policy_ttl = seconds(30), role_ttl = seconds(30),
           token_min_expiration_ttl = minutes(1), token_max_expiration_ttl = hours(24);
  Secret replication_token;
};

struct Tls {
  bool http = false, rpc = false, verify_server_hostname = false, verify_https_client = false, rpc_upgrade_mode = false;
  std::string ca_file, cert_file, key_file, tls_cipher_suites, tls_min_version = "tls12";
};

struct Telemetry {
  Duration in_memory_collection_interval = seconds(10), in_memory_retention_period = minutes(1),
           collection_interval = seconds(1);
  bool prometheus_metrics = false, disable_hostname = false, use_node_name = false, publish_allocation_metrics = false,
       publish_node_metrics = false;
  TextList prefix_filter;
  bool filter_default = true;
};

struct Limits {
  Duration https_handshake_timeout = seconds(5), rpc_handshake_timeout = seconds(5);
  int64_t http_max_conns_per_client = 100, rpc_max_conns_per_client = 100;
};

struct Plugin {
  TextList args;
  drivers::ConfigMap config;
};

struct AgentConfig {
  std::string region = "global", datacenter = "dc1", name, data_dir, plugin_dir,
              bind_addr = "0.0.0.0";  // name: the host's
  std::string log_level = "INFO", log_file;
  bool log_json = false, log_include_location = false;
  Duration log_rotate_duration = hours(24);
  int64_t log_rotate_bytes = 0, log_rotate_max_files = 0;
  bool enable_debug = false, leave_on_interrupt = false, leave_on_terminate = false;
  TextMap http_api_response_headers;
  Ports ports;
  Addresses addresses, advertise;
  Server server;
  Client client;
  Acl acl;
  Tls tls;
  Telemetry telemetry;
  Limits limits;
  bool ui_enabled = true;
  std::map<std::string, Plugin, std::less<>> plugins;
};

}  // namespace steppe::config
