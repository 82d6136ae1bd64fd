#include "agent/config/fields.h"

namespace steppe::config {
namespace {

void describe_resources(Fields& f, Client& client) {
  f.integer("network_speed", client.network_speed);
  f.integer("cpu_total_compute", client.cpu_total_compute);
  f.integer("memory_total_mb", client.memory_total_mb);
  f.integer("disk_total_mb", client.disk_total_mb);
  f.integer("disk_free_mb", client.disk_free_mb);
  f.text("reservable_cores", client.reservable_cores);
  f.integer("min_dynamic_port", client.min_dynamic_port, 1, 65535);
  f.integer("max_dynamic_port", client.max_dynamic_port, 1, 65535);
  f.integer("node_max_allocs", client.node_max_allocs);
  f.block("reserved", [&](Fields& in) {
    in.integer("cpu", client.reserved.cpu);
    in.integer("memory", client.reserved.memory);
    in.integer("disk", client.reserved.disk);
    in.text("reserved_ports", client.reserved.reserved_ports);
    in.text("cores", client.reserved.cores);
  });
}

void describe_gc(Fields& f, Client& client) {
  f.duration("gc_interval", client.gc_interval);
  f.integer("gc_parallel_destroys", client.gc_parallel_destroys, 1, 1024);
  f.real("gc_disk_usage_threshold", client.gc_disk_usage_threshold);
  f.real("gc_inode_usage_threshold", client.gc_inode_usage_threshold);
  f.integer("gc_max_allocs", client.gc_max_allocs, 1);
}

void describe_network(Fields& f, Client& client) {
  f.text("network_interface", client.network_interface);
  f.text("preferred_address_family", client.preferred_address_family);
  f.flag("bind_wildcard_default_host_network", client.bind_wildcard_default_host_network);
  f.text("cni_path", client.cni_path);
  f.text("cni_config_dir", client.cni_config_dir);
  f.text("bridge_network_name", client.bridge_network_name);
  f.text("bridge_network_subnet", client.bridge_network_subnet);
  f.text("bridge_network_subnet_ipv6", client.bridge_network_subnet_ipv6);
  f.flag("bridge_network_hairpin_mode", client.bridge_network_hairpin_mode);
  f.named_blocks("host_network", names_of(client.host_networks), [&](Fields& in, const std::string& label) {
    HostNetwork& network = client.host_networks[label];
    in.text("cidr", network.cidr);
    in.text("interface", network.interface);
    in.text("reserved_ports", network.reserved_ports);
  });
}

void describe_template(Fields& f, TemplateSettings& templates) {
  f.texts("function_denylist", templates.function_denylist);
  f.texts("function_blacklist", templates.function_denylist);
  f.flag("disable_file_sandbox", templates.disable_file_sandbox);
  ignore_all(f, {"max_stale", "block_query_wait", "wait", "wait_bounds", "consul_retry", "vault_retry", "nomad_retry",
                 "vault_default_lease_duration", "use_client_consul_token"});
}

void describe_artifact(Fields& f, ArtifactLimits& artifact) {
  f.duration("http_read_timeout", artifact.http_read_timeout);
  f.text("http_max_size", artifact.http_max_size);
  f.integer("decompression_file_count_limit", artifact.decompression_file_count_limit);
  f.text("decompression_size_limit", artifact.decompression_size_limit);
  f.flag("disable_artifact_inspection", artifact.disable_artifact_inspection);
  f.flag("disable_filesystem_isolation", artifact.disable_filesystem_isolation);
  f.text("set_environment_variables", artifact.set_environment_variables);
  ignore_all(f, {"gcs_timeout", "git_timeout", "hg_timeout", "s3_timeout", "filesystem_isolation_extra_paths"});
}

void describe_directories(Fields& f, Client& client) {
  f.text("state_dir", client.state_dir);
  f.text("alloc_dir", client.alloc_dir);
  f.text("alloc_mounts_dir", client.alloc_mounts_dir);
  f.text("host_volumes_dir", client.host_volumes_dir);
  ignore_all(f, {"host_volume_plugin_dir", "common_plugin_dir"});
  f.named_blocks("host_volume", names_of(client.host_volumes), [&](Fields& in, const std::string& label) {
    HostVolume& volume = client.host_volumes[label];
    in.text("path", volume.path);
    in.flag("read_only", volume.read_only);
  });
}

}  // namespace

void describe_client(Fields& f, Client& client) {
  f.flag("enabled", client.enabled);
  f.texts("servers", client.servers, Fields::Lists::kAppend);
  f.block("server_join", [&](Fields& in) { describe_join(in, client.join); });
  f.text("node_class", client.node_class);
  f.text("node_pool", client.node_pool);
  f.map("meta", client.meta);
  f.map("options", client.options);
  f.map("chroot_env", client.chroot_env);
  f.duration("max_kill_timeout", client.max_kill_timeout);
  f.flag("no_host_uuid", client.no_host_uuid);
  f.flag("disable_remote_exec", client.disable_remote_exec);
  f.flag("default_ineligible", client.default_ineligible);
  f.ignored("nomad_service_discovery");
  f.text("cgroup_parent", client.cgroup_parent);
  describe_directories(f, client);
  describe_resources(f, client);
  describe_gc(f, client);
  describe_network(f, client);
  f.block("template", [&](Fields& in) { describe_template(in, client.templates); });
  f.block("artifact", [&](Fields& in) { describe_artifact(in, client.artifact); });
  f.block("drain_on_shutdown", [&](Fields& in) {
    if (in.reading()) client.drain_on_shutdown = true;
    in.duration("deadline", client.drain_deadline);
    in.flag("force", client.drain_force);
    in.flag("ignore_system_jobs", client.drain_ignore_system_jobs);
  });
  f.block("users", [&](Fields& in) {
    in.integer("dynamic_user_min", client.dynamic_user_min, 1, 4294967294);
    in.integer("dynamic_user_max", client.dynamic_user_max, 1, 4294967294);
  });
  ignore_all(f, {"cpu_disable_dmidecode", "client_min_port", "client_max_port", "gc_volumes_on_node_gc", "log_file",
                 "fingerprint"});
}

}  // namespace steppe::config
