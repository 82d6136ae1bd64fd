#include "agent/jobspec/block_table.h"

namespace steppe::jobspec {
namespace {

using enum FieldKind;

constexpr FieldRow kConstraintRows[] = {
    {"attribute", kString, "l_target"},
    {"value", kString, "r_target"},
    {"operator", kString, "operand"},
    {"version", kOperator, ""},
    {"semver", kOperator, ""},
    {"regexp", kOperator, ""},
    {"set_contains", kOperator, ""},
    {"set_contains_all", kOperator, ""},
    {"set_contains_any", kOperator, ""},
    {"is_set", kOperator, ""},
    {"is_not_set", kOperator, ""},
    {"distinct_hosts", kOperatorBool, ""},
    {"distinct_property", kOperatorProperty, ""},
};
constexpr BlockTable kConstraint{"", kConstraintRows};

constexpr FieldRow kAffinityRows[] = {
    {"attribute", kString, "l_target"},
    {"value", kString, "r_target"},
    {"operator", kString, "operand"},
    {"weight", kInteger, "weight", nullptr, -128, 127},
    {"version", kOperator, ""},
    {"semver", kOperator, ""},
    {"regexp", kOperator, ""},
    {"set_contains", kOperator, ""},
    {"set_contains_all", kOperator, ""},
    {"set_contains_any", kOperator, ""},
};
constexpr BlockTable kAffinity{"", kAffinityRows};

constexpr FieldRow kSpreadTargetRows[] = {
    {"percent", kInteger, "percent", nullptr, 0, 255},
};
constexpr BlockTable kSpreadTarget{"value", kSpreadTargetRows};

constexpr FieldRow kSpreadRows[] = {
    {"attribute", kString, "attribute"},
    {"weight", kInteger, "weight", nullptr, -128, 127},
    {"target", kBlockList, "spread_target", &kSpreadTarget},
};
constexpr BlockTable kSpread{"", kSpreadRows};

constexpr FieldRow kUpdateRows[] = {
    {"stagger", kDuration, "stagger"},
    {"max_parallel", kInteger, "max_parallel"},
    {"health_check", kString, "health_check"},
    {"min_healthy_time", kDuration, "min_healthy_time"},
    {"healthy_deadline", kDuration, "healthy_deadline"},
    {"progress_deadline", kDuration, "progress_deadline"},
    {"auto_revert", kBool, "auto_revert"},
    {"auto_promote", kBool, "auto_promote"},
    {"canary", kInteger, "canary"},
};
constexpr BlockTable kUpdate{"", kUpdateRows};

constexpr FieldRow kMigrateRows[] = {
    {"max_parallel", kInteger, "max_parallel"},
    {"health_check", kString, "health_check"},
    {"min_healthy_time", kDuration, "min_healthy_time"},
    {"healthy_deadline", kDuration, "healthy_deadline"},
};
constexpr BlockTable kMigrate{"", kMigrateRows};

constexpr FieldRow kRescheduleRows[] = {
    {"attempts", kInteger, "attempts"},
    {"interval", kDuration, "interval"},
    {"delay", kDuration, "delay"},
    {"delay_function", kString, "delay_function"},
    {"max_delay", kDuration, "max_delay"},
    {"unlimited", kBool, "unlimited"},
};
constexpr BlockTable kReschedule{"", kRescheduleRows};

constexpr FieldRow kRestartRows[] = {
    {"attempts", kInteger, "attempts"},
    {"interval", kDuration, "interval"},
    {"delay", kDuration, "delay"},
    {"mode", kString, "mode"},
    {"render_templates", kBool, "render_templates"},
};
constexpr BlockTable kRestart{"", kRestartRows};

constexpr FieldRow kDisconnectRows[] = {
    {"lost_after", kDuration, "lost_after"},
    {"stop_on_client_after", kDuration, "stop_on_client_after"},
    {"replace", kBool, "replace"},
    {"reconcile", kString, "reconcile"},
};
constexpr BlockTable kDisconnect{"", kDisconnectRows};

constexpr FieldRow kPeriodicRows[] = {
    {"enabled", kBool, "enabled"},
    {"cron", kString, "spec"},
    {"crons", kStringList, "specs"},
    {"prohibit_overlap", kBool, "prohibit_overlap"},
    {"time_zone", kString, "time_zone"},
};
constexpr BlockTable kPeriodic{"", kPeriodicRows};

constexpr FieldRow kParameterizedRows[] = {
    {"payload", kString, "payload"},
    {"meta_required", kStringList, "meta_required"},
    {"meta_optional", kStringList, "meta_optional"},
};
constexpr BlockTable kParameterized{"", kParameterizedRows};

constexpr FieldRow kMultiregionStrategyRows[] = {
    {"max_parallel", kInteger, "max_parallel"},
    {"on_failure", kString, "on_failure"},
};
constexpr BlockTable kMultiregionStrategy{"", kMultiregionStrategyRows};

constexpr FieldRow kMultiregionRegionRows[] = {
    {"count", kInteger, "count"},
    {"datacenters", kStringList, "datacenters"},
    {"node_pool", kString, "node_pool"},
    {"meta", kStringMap, "meta"},
};
constexpr BlockTable kMultiregionRegion{"name", kMultiregionRegionRows};

constexpr FieldRow kMultiregionRows[] = {
    {"strategy", kBlock, "strategy", &kMultiregionStrategy},
    {"region", kBlockList, "regions", &kMultiregionRegion},
};
constexpr BlockTable kMultiregion{"", kMultiregionRows};

constexpr FieldRow kUiLinkRows[] = {
    {"label", kString, "label"},
    {"url", kString, "url"},
};
constexpr BlockTable kUiLink{"", kUiLinkRows};

constexpr FieldRow kUiRows[] = {
    {"description", kString, "description"},
    {"link", kBlockList, "links", &kUiLink},
};
constexpr BlockTable kUi{"", kUiRows};

constexpr FieldRow kVaultRows[] = {
    {"role", kString, "role"},
    {"policies", kStringList, "policies"},
    {"namespace", kString, "namespace"},
    {"cluster", kString, "cluster"},
    {"env", kBool, "env"},
    {"disable_file", kBool, "disable_file"},
    {"change_mode", kString, "change_mode"},
    {"change_signal", kString, "change_signal"},
    {"allow_token_expiration", kBool, "allow_token_expiration"},
};
constexpr BlockTable kVault{"", kVaultRows};

constexpr FieldRow kSecretRows[] = {
    {"provider", kString, "provider"},
    {"path", kString, "path"},
    {"config", kValueMap, "config"},
    {"env", kStringMap, "env"},
};
constexpr BlockTable kSecret{"name", kSecretRows};

constexpr FieldRow kConsulRows[] = {
    {"cluster", kString, "cluster"},
    {"namespace", kString, "namespace"},
    {"partition", kString, "partition"},
};
constexpr BlockTable kConsul{"", kConsulRows};

constexpr FieldRow kEphemeralDiskRows[] = {
    {"sticky", kBool, "sticky"},
    {"migrate", kBool, "migrate"},
    {"size", kInteger, "size_mb"},
};
constexpr BlockTable kEphemeralDisk{"", kEphemeralDiskRows};

constexpr FieldRow kPortRows[] = {
    {"static", kInteger, "value", nullptr, -2147483648LL, 2147483647},
    {"to", kInteger, "to", nullptr, -2147483648LL, 2147483647},
    {"host_network", kString, "host_network"},
    {"ignore_collision", kBool, "ignore_collision"},
};
constexpr BlockTable kPort{"label", kPortRows};

constexpr FieldRow kDnsRows[] = {
    {"servers", kStringList, "servers"},
    {"searches", kStringList, "searches"},
    {"options", kStringList, "options"},
};
constexpr BlockTable kDns{"", kDnsRows};

constexpr FieldRow kCniRows[] = {
    {"args", kStringMap, "args"},
};
constexpr BlockTable kCni{"", kCniRows};

constexpr FieldRow kNetworkRows[] = {
    {"mode", kString, "mode"},
    {"hostname", kString, "hostname"},
    {"device", kString, "device"},
    {"cidr", kString, "cidr"},
    {"ip", kString, "ip"},
    {"mbits", kInteger, "m_bits"},
    {"port", kBlockList, "dynamic_ports", &kPort},
    {"reserved_ports", kBlockList, "reserved_ports", &kPort},
    {"dns", kBlock, "dns", &kDns},
    {"cni", kBlock, "cni", &kCni},
};
constexpr BlockTable kNetwork{"", kNetworkRows};

constexpr FieldRow kMountOptionsRows[] = {
    {"fs_type", kString, "fs_type"},
    {"mount_flags", kStringList, "mount_flags"},
};
constexpr BlockTable kMountOptions{"", kMountOptionsRows};

constexpr FieldRow kVolumeRows[] = {
    {"type", kString, "type"},
    {"source", kString, "source"},
    {"read_only", kBool, "read_only"},
    {"sticky", kBool, "sticky"},
    {"per_alloc", kBool, "per_alloc"},
    {"access_mode", kString, "access_mode"},
    {"attachment_mode", kString, "attachment_mode"},
    {"mount_options", kBlock, "mount_options", &kMountOptions},
};
constexpr BlockTable kVolume{"name", kVolumeRows};

constexpr FieldRow kScalingRows[] = {
    {"enabled", kBool, "enabled"},
    {"min", kInteger, "min"},
    {"max", kInteger, "max"},
    {"type", kString, "type"},
    {"policy", kValueMap, "policy"},
};
constexpr BlockTable kScaling{"", kScalingRows};

constexpr FieldRow kTaskScalingRows[] = {
    {"enabled", kBool, "enabled"},
    {"min", kInteger, "min"},
    {"max", kInteger, "max"},
    {"type", kString, "type"},
    {"policy", kValueMap, "policy"},
};
constexpr BlockTable kTaskScaling{"*", kTaskScalingRows};

constexpr FieldRow kCheckRestartRows[] = {
    {"limit", kInteger, "limit"},
    {"grace", kDuration, "grace"},
    {"ignore_warnings", kBool, "ignore_warnings"},
};
constexpr BlockTable kCheckRestart{"", kCheckRestartRows};

constexpr FieldRow kCheckRows[] = {
    {"type", kString, "type"},
    {"name", kString, "name"},
    {"path", kString, "path"},
    {"method", kString, "method"},
    {"header", kListMap, "header"},
    {"body", kString, "body"},
    {"protocol", kString, "protocol"},
    {"port", kString, "port_label"},
    {"address_mode", kString, "address_mode"},
    {"interval", kDuration, "interval"},
    {"timeout", kDuration, "timeout"},
    {"initial_status", kString, "initial_status"},
    {"success_before_passing", kInteger, "success_before_passing"},
    {"failures_before_critical", kInteger, "failures_before_critical"},
    {"failures_before_warning", kInteger, "failures_before_warning"},
    {"check_restart", kBlock, "check_restart", &kCheckRestart},
    {"on_update", kString, "on_update"},
    {"expose", kBool, "expose"},
    {"command", kString, "command"},
    {"args", kStringList, "args"},
    {"task", kString, "task_name"},
    {"grpc_service", kString, "grpc_service"},
    {"grpc_use_tls", kBool, "grpc_use_tls"},
    {"tls_server_name", kString, "tls_server_name"},
    {"tls_skip_verify", kBool, "tls_skip_verify"},
    {"notes", kString, "notes"},
    {"advertise", kString, "advertise"},
};
constexpr BlockTable kCheck{"", kCheckRows};

constexpr FieldRow kWeightsRows[] = {
    {"passing", kInteger, "passing"},
    {"warning", kInteger, "warning"},
};
constexpr BlockTable kWeights{"", kWeightsRows};

constexpr FieldRow kIdentityRows[] = {
    {"name", kString, "name"},
    {"aud", kStringList, "audience"},
    {"env", kBool, "env"},
    {"file", kBool, "file"},
    {"filepath", kString, "filepath"},
    {"change_mode", kString, "change_mode"},
    {"change_signal", kString, "change_signal"},
    {"ttl", kDuration, "ttl"},
    {"service_name", kString, "service_name"},
    {"extra_claims", kStringList, "extra_claims"},
};
constexpr BlockTable kIdentity{"", kIdentityRows};

constexpr FieldRow kMeshGatewayRows[] = {
    {"mode", kString, "mode"},
};
constexpr BlockTable kMeshGateway{"", kMeshGatewayRows};

constexpr FieldRow kUpstreamsRows[] = {
    {"destination_name", kString, "destination_name"},
    {"local_bind_port", kInteger, "local_bind_port"},
    {"local_bind_address", kString, "local_bind_address"},
    {"local_bind_socket_path", kString, "local_bind_socket_path"},
    {"local_bind_socket_mode", kString, "local_bind_socket_mode"},
    {"destination_namespace", kString, "destination_namespace"},
    {"destination_partition", kString, "destination_partition"},
    {"destination_peer", kString, "destination_peer"},
    {"destination_type", kString, "destination_type"},
    {"datacenter", kString, "datacenter"},
    {"mesh_gateway", kBlock, "mesh_gateway", &kMeshGateway},
    {"config", kValueMap, "config"},
};
constexpr BlockTable kUpstreams{"", kUpstreamsRows};

constexpr FieldRow kExposePathRows[] = {
    {"path", kString, "path"},
    {"protocol", kString, "protocol"},
    {"local_path_port", kInteger, "local_path_port"},
    {"listener_port", kString, "listener_port"},
};
constexpr BlockTable kExposePath{"", kExposePathRows};

constexpr FieldRow kExposeRows[] = {
    {"path", kBlockList, "paths", &kExposePath},
};
constexpr BlockTable kExpose{"", kExposeRows};

constexpr FieldRow kTransparentProxyRows[] = {
    {"uid", kString, "uid"},
    {"outbound_port", kInteger, "outbound_port", nullptr, 0, 65535},
    {"exclude_inbound_ports", kStringList, "exclude_inbound_ports"},
    {"exclude_outbound_ports", kIntegerList, "exclude_outbound_ports", nullptr, 0, 65535},
    {"exclude_outbound_cidrs", kStringList, "exclude_outbound_cidrs"},
    {"exclude_uids", kStringList, "exclude_uids"},
    {"no_dns", kBool, "no_dns"},
};
constexpr BlockTable kTransparentProxy{"", kTransparentProxyRows};

constexpr FieldRow kSidecarProxyRows[] = {
    {"local_service_address", kString, "local_service_address"},
    {"local_service_port", kInteger, "local_service_port"},
    {"upstreams", kBlockList, "upstreams", &kUpstreams},
    {"expose", kBlock, "expose", &kExpose},
    {"transparent_proxy", kBlock, "transparent_proxy", &kTransparentProxy},
    {"config", kValueMap, "config"},
};
constexpr BlockTable kSidecarProxy{"", kSidecarProxyRows};

constexpr FieldRow kSidecarServiceRows[] = {
    {"tags", kStringList, "tags"},
    {"port", kString, "port"},
    {"disable_default_tcp_check", kBool, "disable_default_tcp_check"},
    {"meta", kStringMap, "meta"},
    {"proxy", kBlock, "proxy", &kSidecarProxy},
};
constexpr BlockTable kSidecarService{"", kSidecarServiceRows};

constexpr FieldRow kDeviceRows[] = {
    {"count", kInteger, "count", nullptr, 0},
    {"constraint", kBlockList, "constraints", &kConstraint},
    {"affinity", kBlockList, "affinities", &kAffinity},
};
constexpr BlockTable kDevice{"name", kDeviceRows};

constexpr FieldRow kNumaRows[] = {
    {"affinity", kString, "affinity"},
    {"devices", kStringList, "devices"},
};
constexpr BlockTable kNuma{"", kNumaRows};

constexpr FieldRow kResourcesRows[] = {
    {"cpu", kInteger, "cpu"},
    {"cores", kInteger, "cores"},
    {"memory", kInteger, "memory_mb"},
    {"memory_max", kInteger, "memory_max_mb"},
    {"secrets", kInteger, "secrets_mb"},
    {"disk", kInteger, "disk_mb"},
    {"iops", kInteger, "iops"},
    {"device", kBlockList, "devices", &kDevice},
    {"network", kBlockList, "networks", &kNetwork},
    {"numa", kBlock, "numa", &kNuma},
};
constexpr BlockTable kResources{"", kResourcesRows};

constexpr FieldRow kLogsRows[] = {
    {"max_files", kInteger, "max_files"},
    {"max_file_size", kInteger, "max_file_size_mb"},
    {"disabled", kBool, "disabled"},
    {"enabled", kBool, ""},
};
constexpr BlockTable kLogs{"", kLogsRows};

constexpr FieldRow kVolumeMountRows[] = {
    {"volume", kString, "volume"},
    {"destination", kString, "destination"},
    {"read_only", kBool, "read_only"},
    {"propagation_mode", kString, "propagation_mode"},
    {"selinux_label", kString, "selinux_label"},
};
constexpr BlockTable kVolumeMount{"", kVolumeMountRows};

constexpr FieldRow kSidecarTaskRows[] = {
    {"name", kString, "name"},
    {"driver", kString, "driver"},
    {"user", kString, "user"},
    {"config", kValueMap, "config"},
    {"env", kStringMap, "env"},
    {"resources", kBlock, "resources", &kResources},
    {"meta", kStringMap, "meta"},
    {"logs", kBlock, "log_config", &kLogs},
    {"kill_timeout", kDuration, "kill_timeout"},
    {"kill_signal", kString, "kill_signal"},
    {"shutdown_delay", kDuration, "shutdown_delay"},
    {"volume_mount", kBlockList, "volume_mounts", &kVolumeMount},
    {"identity", kBlockList, "identities", &kIdentity},
};
constexpr BlockTable kSidecarTask{"", kSidecarTaskRows};

constexpr FieldRow kBindAddressRows[] = {
    {"address", kString, "address"},
    {"port", kInteger, "port"},
};
constexpr BlockTable kBindAddress{"name", kBindAddressRows};

constexpr FieldRow kGatewayProxyRows[] = {
    {"connect_timeout", kDuration, "connect_timeout"},
    {"envoy_gateway_bind_tagged_addresses", kBool, "envoy_gateway_bind_tagged_addresses"},
    {"envoy_gateway_bind_addresses", kBlockMap, "envoy_gateway_bind_addresses", &kBindAddress},
    {"envoy_gateway_no_default_bind", kBool, "envoy_gateway_no_default_bind"},
    {"envoy_dns_discovery_type", kString, "envoy_dns_discovery_type"},
    {"config", kValueMap, "config"},
};
constexpr BlockTable kGatewayProxy{"", kGatewayProxyRows};

constexpr FieldRow kGatewaySdsRows[] = {
    {"cluster_name", kString, "cluster_name"},
    {"cert_resource", kString, "cert_resource"},
};
constexpr BlockTable kGatewaySds{"", kGatewaySdsRows};

constexpr FieldRow kGatewayTlsRows[] = {
    {"enabled", kBool, "enabled"},
    {"tls_min_version", kString, "tls_min_version"},
    {"tls_max_version", kString, "tls_max_version"},
    {"cipher_suites", kStringList, "cipher_suites"},
    {"sds", kBlock, "sds", &kGatewaySds},
};
constexpr BlockTable kGatewayTls{"", kGatewayTlsRows};

constexpr FieldRow kHttpHeadersRows[] = {
    {"add", kStringMap, "add"},
    {"set", kStringMap, "set"},
    {"remove", kStringList, "remove"},
};
constexpr BlockTable kHttpHeaders{"", kHttpHeadersRows};

constexpr FieldRow kIngressServiceRows[] = {
    {"name", kString, "name"},
    {"hosts", kStringList, "hosts"},
    {"tls", kBlock, "tls", &kGatewayTls},
    {"request_headers", kBlock, "request_headers", &kHttpHeaders},
    {"response_headers", kBlock, "response_headers", &kHttpHeaders},
    {"max_connections", kInteger, "max_connections", nullptr, 0, 4294967295},
    {"max_pending_requests", kInteger, "max_pending_requests", nullptr, 0, 4294967295},
    {"max_concurrent_requests", kInteger, "max_concurrent_requests", nullptr, 0, 4294967295},
};
constexpr BlockTable kIngressService{"", kIngressServiceRows};

constexpr FieldRow kIngressListenerRows[] = {
    {"port", kInteger, "port"},
    {"protocol", kString, "protocol"},
    {"service", kBlockList, "services", &kIngressService},
};
constexpr BlockTable kIngressListener{"", kIngressListenerRows};

constexpr FieldRow kIngressRows[] = {
    {"tls", kBlock, "tls", &kGatewayTls},
    {"listener", kBlockList, "listeners", &kIngressListener},
};
constexpr BlockTable kIngress{"", kIngressRows};

constexpr FieldRow kLinkedServiceRows[] = {
    {"name", kString, "name"},
    {"ca_file", kString, "ca_file"},
    {"cert_file", kString, "cert_file"},
    {"key_file", kString, "key_file"},
    {"sni", kString, "sni"},
};
constexpr BlockTable kLinkedService{"", kLinkedServiceRows};

constexpr FieldRow kTerminatingRows[] = {
    {"service", kBlockList, "services", &kLinkedService},
};
constexpr BlockTable kTerminating{"", kTerminatingRows};

constexpr BlockTable kMesh{"", {}};

constexpr FieldRow kGatewayRows[] = {
    {"proxy", kBlock, "proxy", &kGatewayProxy},
    {"ingress", kBlock, "ingress", &kIngress},
    {"terminating", kBlock, "terminating", &kTerminating},
    {"mesh", kBlock, "mesh", &kMesh},
};
constexpr BlockTable kGateway{"", kGatewayRows};

constexpr FieldRow kConnectRows[] = {
    {"native", kBool, "native"},
    {"sidecar_service", kBlock, "sidecar_service", &kSidecarService},
    {"sidecar_task", kBlock, "sidecar_task", &kSidecarTask},
    {"gateway", kBlock, "gateway", &kGateway},
};
constexpr BlockTable kConnect{"", kConnectRows};

constexpr FieldRow kServiceRows[] = {
    {"name", kString, "name"},
    {"provider", kString, "provider"},
    {"port", kString, "port_label"},
    {"tags", kStringList, "tags"},
    {"canary_tags", kStringList, "canary_tags"},
    {"meta", kStringMap, "meta"},
    {"canary_meta", kStringMap, "canary_meta"},
    {"address_mode", kString, "address_mode"},
    {"address", kString, "address"},
    {"tagged_addresses", kStringMap, "tagged_addresses"},
    {"enable_tag_override", kBool, "enable_tag_override"},
    {"on_update", kString, "on_update"},
    {"task", kString, "task_name"},
    {"cluster", kString, "cluster"},
    {"kind", kString, "kind"},
    {"identity", kBlock, "identity", &kIdentity},
    {"weights", kBlock, "weights", &kWeights},
    {"check", kBlockList, "checks", &kCheck},
    {"check_restart", kBlock, "check_restart", &kCheckRestart},
    {"connect", kBlock, "connect", &kConnect},
};
constexpr BlockTable kService{"", kServiceRows};

constexpr FieldRow kLifecycleRows[] = {
    {.key = "hook", .kind = kString, .proto = "hook", .required = true},
    {"sidecar", kBool, "sidecar"},
};
constexpr BlockTable kLifecycle{"", kLifecycleRows};

constexpr FieldRow kArtifactRows[] = {
    {"source", kString, "getter_source"},
    {"destination", kString, "relative_dest"},
    {"mode", kString, "getter_mode"},
    {"options", kStringMap, "getter_options"},
    {"headers", kStringMap, "getter_headers"},
    {"insecure", kBool, "getter_insecure"},
    {"chown", kBool, "chown"},
};
constexpr BlockTable kArtifact{"", kArtifactRows};

constexpr FieldRow kWaitRows[] = {
    {.key = "min", .kind = kDuration, .proto = "min", .required = true},
    {.key = "max", .kind = kDuration, .proto = "max", .required = true},
};
constexpr BlockTable kWait{"", kWaitRows};

constexpr FieldRow kChangeScriptRows[] = {
    {.key = "command", .kind = kString, .proto = "command", .required = true},
    {"args", kStringList, "args"},
    {"timeout", kDuration, "timeout"},
    {"fail_on_error", kBool, "fail_on_error"},
    {"run_on_first_render", kBool, "run_on_first_render"},
};
constexpr BlockTable kChangeScript{"", kChangeScriptRows};

constexpr FieldRow kTemplateRows[] = {
    {"data", kString, "embedded_tmpl"},
    {"source", kString, "source_path"},
    {"destination", kString, "dest_path"},
    {"change_mode", kString, "change_mode"},
    {"change_signal", kString, "change_signal"},
    {"change_script", kBlock, "change_script", &kChangeScript},
    {"splay", kDuration, "splay"},
    {"perms", kString, "perms"},
    {"uid", kInteger, "uid"},
    {"gid", kInteger, "gid"},
    {"left_delimiter", kString, "left_delim"},
    {"right_delimiter", kString, "right_delim"},
    {"env", kBool, "envvars"},
    {"once", kBool, "once"},
    {"error_on_missing_key", kBool, "err_missing_key"},
    {"vault_grace", kDuration, "vault_grace"},
    {"wait", kBlock, "wait", &kWait},
};
constexpr BlockTable kTemplate{"", kTemplateRows};

constexpr FieldRow kDispatchPayloadRows[] = {
    {"file", kString, "file"},
};
constexpr BlockTable kDispatchPayload{"", kDispatchPayloadRows};

constexpr FieldRow kCsiPluginRows[] = {
    {"id", kString, "id"},
    {"type", kString, "type"},
    {"mount_dir", kString, "mount_dir"},
    {"stage_publish_base_dir", kString, "stage_publish_base_dir"},
    {"health_timeout", kDuration, "health_timeout"},
};
constexpr BlockTable kCsiPlugin{"", kCsiPluginRows};

constexpr FieldRow kActionRows[] = {
    {.key = "command", .kind = kString, .proto = "command", .required = true},
    {"args", kStringList, "args"},
};
constexpr BlockTable kAction{"name", kActionRows};

constexpr FieldRow kScheduleCronRows[] = {
    {"start", kString, "start"},
    {"end", kString, "end"},
    {"timezone", kString, "timezone"},
};
constexpr BlockTable kScheduleCron{"", kScheduleCronRows};

constexpr FieldRow kScheduleRows[] = {
    {"cron", kBlock, "cron", &kScheduleCron},
};
constexpr BlockTable kSchedule{"", kScheduleRows};

constexpr FieldRow kTaskRows[] = {
    {"driver", kString, "driver"},
    {"config", kValueMap, "config"},
    {"user", kString, "user"},
    {"env", kStringMap, "env"},
    {"meta", kStringMap, "meta"},
    {"kill_timeout", kDuration, "kill_timeout"},
    {"kill_signal", kString, "kill_signal"},
    {"kind", kString, "kind"},
    {"leader", kBool, "leader"},
    {"shutdown_delay", kDuration, "shutdown_delay"},
    {"resources", kBlock, "resources", &kResources},
    {"restart", kBlock, "restart_policy", &kRestart},
    {"lifecycle", kBlock, "lifecycle", &kLifecycle},
    {"logs", kBlock, "log_config", &kLogs},
    {"artifact", kBlockList, "artifacts", &kArtifact},
    {"template", kBlockList, "templates", &kTemplate},
    {"dispatch_payload", kBlock, "dispatch_payload", &kDispatchPayload},
    {"volume_mount", kBlockList, "volume_mounts", &kVolumeMount},
    {"csi_plugin", kBlock, "csi_plugin_config", &kCsiPlugin},
    {"identity", kBlockList, "identities", &kIdentity},
    {"action", kBlockList, "actions", &kAction},
    {"schedule", kBlock, "schedule", &kSchedule},
    {"secret", kBlockList, "secrets", &kSecret},
    {"vault", kBlock, "vault", &kVault},
    {"consul", kBlock, "consul", &kConsul},
    {"constraint", kBlockList, "constraints", &kConstraint},
    {"affinity", kBlockList, "affinities", &kAffinity},
    {"service", kBlockList, "services", &kService},
    {"scaling", kBlockList, "scaling_policies", &kTaskScaling},
};
constexpr BlockTable kTask{"name", kTaskRows};

constexpr FieldRow kGroupRows[] = {
    {"count", kInteger, "count"},
    {"constraint", kBlockList, "constraints", &kConstraint},
    {"affinity", kBlockList, "affinities", &kAffinity},
    {"spread", kBlockList, "spreads", &kSpread},
    {"consul", kBlock, "consul", &kConsul},
    {"disconnect", kBlock, "disconnect", &kDisconnect},
    {"ephemeral_disk", kBlock, "ephemeral_disk", &kEphemeralDisk},
    {"max_run_duration", kDuration, "max_run_duration"},
    {"max_client_disconnect", kDuration, "max_client_disconnect"},
    {"meta", kStringMap, "meta"},
    {"migrate", kBlock, "migrate", &kMigrate},
    {"network", kBlockList, "networks", &kNetwork},
    {"prevent_reschedule_on_lost", kBool, "prevent_reschedule_on_lost"},
    {"reschedule", kBlock, "reschedule_policy", &kReschedule},
    {"restart", kBlock, "restart_policy", &kRestart},
    {"scaling", kBlock, "scaling", &kScaling},
    {"service", kBlockList, "services", &kService},
    {"shutdown_delay", kDuration, "shutdown_delay"},
    {"stop_after_client_disconnect", kDuration, "stop_after_client_disconnect"},
    {"task", kBlockList, "tasks", &kTask},
    {"update", kBlock, "update", &kUpdate},
    {"volume", kBlockMap, "volumes", &kVolume},
    {"vault", kBlock, "", &kVault},
    {"secret", kBlockList, "", &kSecret},
};
constexpr BlockTable kGroup{"name", kGroupRows};

constexpr FieldRow kJobRows[] = {
    {"region", kString, "region"},
    {"namespace", kString, "namespace"},
    {"id", kString, "id"},
    {"name", kString, "name"},
    {"type", kString, "type"},
    {"priority", kInteger, "priority"},
    {"all_at_once", kBool, "all_at_once"},
    {"datacenters", kStringList, "datacenters"},
    {"node_pool", kString, "node_pool"},
    {"meta", kStringMap, "meta"},
    {"constraint", kBlockList, "constraints", &kConstraint},
    {"affinity", kBlockList, "affinities", &kAffinity},
    {"spread", kBlockList, "spreads", &kSpread},
    {"update", kBlock, "update", &kUpdate},
    {"migrate", kBlock, "migrate", &kMigrate},
    {"reschedule", kBlock, "reschedule", &kReschedule},
    {"periodic", kBlock, "periodic", &kPeriodic},
    {"parameterized", kBlock, "parameterized_job", &kParameterized},
    {"multiregion", kBlock, "multiregion", &kMultiregion},
    {"ui", kBlock, "ui", &kUi},
    {"vault", kBlock, "vault", &kVault},
    {"secret", kBlockList, "secrets", &kSecret},
    {"task", kBlockList, "", &kTask},
    {"group", kBlockList, "task_groups", &kGroup},
};
constexpr BlockTable kJob{"id", kJobRows};

}  // namespace

const BlockTable& job_table() { return kJob; }

}  // namespace steppe::jobspec
