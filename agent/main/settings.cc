#include "agent/main/settings.h"

#include <limits.h>
#include <unistd.h>

#include <algorithm>
#include <format>

#include "agent/cli/config_files.h"
#include "agent/cli/flags.h"
#include "agent/cli/ui.h"
#include "agent/config/load.h"
#include "init/base/byte_size.h"
#include "init/base/text.h"

namespace steppe::agent {

namespace {

using cli::Flags;
using Spec = Flags::Spec;
constexpr auto kSwitch = Spec::Kind::kSwitch;
constexpr auto kText = Spec::Kind::kText;
constexpr auto kList = Spec::Kind::kList;

const std::vector<Spec>& specs() {
  static const std::vector<Spec> all{
      {"dev", kSwitch, "server and client in one, in a directory that is removed at the end"},
      {"server", kSwitch, "be a server"},
      {"client", kSwitch, "be a client"},
      {"config", kList, "configuration file, or directory of *.hcl and *.json; may be repeated"},
      {"bind", kText, "address to listen on"},
      {"data-dir", kText, "where state is kept; absolute"},
      {"region", kText, "region, \"global\" by default"},
      {"dc", kText, "datacenter, \"dc1\" by default"},
      {"node", kText, "name of the agent, the host's by default"},
      {"node-class", kText, "class of the node"},
      {"node-pool", kText, "pool of the node, \"default\" by default"},
      {"meta", kList, "key=value for the node's metadata; may be repeated"},
      {"log-level", kText, "trace, debug, info, warn or error"},
      {"log-json", kSwitch, "log as JSON"},
      {"network-interface", kText, "interface whose address tasks get"},
      {"bootstrap-expect", kText, "servers to wait for: 1 is what this version has"},
      {"executor", kText, "path of steppe-executor, beside this program by default"},
      {"http-port", kText, "port of the API, 4646 by default"},
  };
  return all;
}

std::string host_name() {
  char name[HOST_NAME_MAX + 1] = {};
  return gethostname(name, sizeof name) == 0 ? std::string(name) : "localhost";
}

// What -dev changes before the files and flags are read.
void set_dev_defaults(config::AgentConfig& config) {
  config.bind_addr = "127.0.0.1";
  config.server.enabled = true;
  config.client.enabled = true;
  config.client.network_interface = "lo";
}

Result<> apply_flags(const Flags& flags, config::AgentConfig& config) {
  const auto set = [&](std::string_view flag, std::string& into) {
    if (flags.given(flag)) into = flags.text(flag);
  };
  set("bind", config.bind_addr);
  set("data-dir", config.data_dir);
  set("region", config.region);
  set("dc", config.datacenter);
  set("node", config.name);
  set("node-class", config.client.node_class);
  set("node-pool", config.client.node_pool);
  set("log-level", config.log_level);
  set("network-interface", config.client.network_interface);
  if (flags.on("server")) config.server.enabled = true;
  if (flags.on("client")) config.client.enabled = true;
  if (flags.on("log-json")) config.log_json = true;
  STEPPE_TRY(config.server.bootstrap_expect, flags.number("bootstrap-expect", config.server.bootstrap_expect));
  STEPPE_TRY(config.ports.http, flags.number("http-port", config.ports.http));
  if (config.ports.http < 0 || config.ports.http > 65535) {
    return Error(Code::kInvalid, std::format("-http-port {}: a port is a number from 0 to 65535", config.ports.http));
  }
  for (const std::string& pair : flags.list("meta")) {
    const size_t equals = pair.find('=');
    if (equals == std::string::npos) return Error(Code::kInvalid, std::format("-meta \"{}\": expected key=value", pair));
    config.client.meta[pair.substr(0, equals)] = pair.substr(equals + 1);
  }
  return {};
}

client::NodeConfig node_of(const config::AgentConfig& config, const std::string& http_address) {
  client::NodeConfig node;
  node.name = config.name;
  node.datacenter = config.datacenter;
  node.node_class = config.client.node_class;
  node.node_pool = config.client.node_pool;
  node.meta.insert(config.client.meta.begin(), config.client.meta.end());
  node.http_addr = http_address;
  node.steppe_version = "0.1.0";
  node.network_interface = config.client.network_interface;
  node.network_speed = config.client.network_speed;
  node.cpu_total_compute = config.client.cpu_total_compute;
  node.memory_total_mb = config.client.memory_total_mb;
  node.disk_total_mb = config.client.disk_total_mb;
  node.disk_free_mb = config.client.disk_free_mb;
  node.reservable_cores = config.client.reservable_cores;
  node.min_dynamic_port = config.client.min_dynamic_port;
  node.max_dynamic_port = config.client.max_dynamic_port;
  node.reserved = {config.client.reserved.cpu, config.client.reserved.memory, config.client.reserved.disk, config.client.reserved.reserved_ports, config.client.reserved.cores};
  for (const auto& [name, volume] : config.client.host_volumes) node.host_volumes[name] = {volume.path, volume.read_only};
  node.node_max_allocs = config.client.node_max_allocs;
  node.cgroup_parent = config.client.cgroup_parent;
  return node;
}

// raw_exec is off unless the node's owner says so: an option of old files, or a plugin block.
bool raw_exec_enabled(const config::AgentConfig& config) {
  const auto option = config.client.options.find("driver.raw_exec.enable");
  if (option != config.client.options.end() && (option->second == "1" || option->second == "true")) return true;
  const auto plugin = config.plugins.find("raw_exec");
  if (plugin == config.plugins.end()) return false;
  const auto enabled = plugin->second.config.find("enabled");
  if (enabled == plugin->second.config.end()) return false;
  const bool* value = std::get_if<bool>(&enabled->second.value);
  return value != nullptr && *value;
}

Result<client::ArtifactSettings> artifact_of(const config::ArtifactLimits& artifact, const std::map<std::string, std::string, std::less<>>& environment) {
  client::ArtifactSettings out;
  STEPPE_TRY(out.max_download, parse_byte_size(artifact.http_max_size).wrap("client.artifact.http_max_size"));
  STEPPE_TRY(out.limits.bytes, parse_byte_size(artifact.decompression_size_limit).wrap("client.artifact.decompression_size_limit"));
  if (artifact.decompression_file_count_limit < 0) return Error(Code::kInvalid, "client.artifact.decompression_file_count_limit must not be negative");
  // As Nomad has it, 0 is no limit.
  constexpr uint64_t kNone = uint64_t{1} << 62;
  out.limits.files = artifact.decompression_file_count_limit == 0 ? kNone : static_cast<uint64_t>(artifact.decompression_file_count_limit);
  if (out.limits.bytes.count == 0) out.limits.bytes = {kNone};
  out.time_limit_s = std::max<int64_t>(1, std::chrono::duration_cast<std::chrono::seconds>(artifact.http_read_timeout).count());
  out.environment = client::artifact_environment(environment, artifact.set_environment_variables);
  return out;
}

}  // namespace

std::string directory_of_program() {
  char path[PATH_MAX];
  const ssize_t size = readlink("/proc/self/exe", path, sizeof path);
  if (size <= 0) return "/usr/bin";
  const std::string program(path, static_cast<size_t>(size));
  return program.substr(0, program.rfind('/'));
}

Result<Settings> read_settings(const std::vector<std::string>& words, const std::map<std::string, std::string, std::less<>>& environment) {
  STEPPE_TRY(const Flags flags, Flags::parse(specs(), words));
  if (!flags.words().empty()) return Error(Code::kInvalid, std::format("agent takes no argument \"{}\" (flags stand before arguments; see -help)", flags.words()[0]));
  Settings settings;
  settings.dev = flags.on("dev");
  settings.config_paths = flags.list("config");
  config::AgentConfig config;
  if (settings.dev) set_dev_defaults(config);
  STEPPE_TRY(const std::vector<config::File> files, cli::read_config_files(settings.config_paths).wrap("-config"));
  STEPPE_TRY_VOID(config::load(files, &config, &settings.ignored));
  STEPPE_TRY_VOID(apply_flags(flags, config));
  STEPPE_TRY_VOID(config::check(config, settings.dev));
  if (!config.server.enabled && !config.client.enabled) {
    return Error(Code::kInvalid, "Must specify either server, client or dev mode for the agent.");
  }
  if (config.client.enabled && !config.server.enabled) {
    return Error(Code::kUnsupported, "a client without a server of its own needs the network RPC, which is not built yet: add -server, or use -dev");
  }
  if (config.server.bootstrap_expect > 1) return Error(Code::kUnsupported, "bootstrap_expect: more than one server needs the network RPC, which is not built yet");
  settings.server = config.server.enabled;
  settings.client = config.client.enabled;
  settings.data_dir = config.data_dir;
  settings.program = directory_of_program() + "/steppe";
  settings.executor = flags.text("executor", directory_of_program() + "/steppe-executor");
  settings.region = config.region;
  if (config.name.empty()) config.name = host_name();
  settings.name = config.name;
  settings.bind_address = config.addresses.http.empty() ? config.bind_addr : config.addresses.http;
  settings.http_port = static_cast<uint16_t>(config.ports.http);
  settings.rpc_port = static_cast<uint16_t>(config.ports.rpc);
  settings.serf_port = static_cast<uint16_t>(config.ports.serf);
  STEPPE_TRY(settings.log_level, log::parse_level(config.log_level));
  settings.log_format = config.log_json ? LogFormat::kJson : LogFormat::kText;
  settings.node = node_of(config, std::format("{}:{}", settings.bind_address, settings.http_port));
  settings.raw_exec = settings.dev || raw_exec_enabled(config);
  settings.chroot_env.insert(config.client.chroot_env.begin(), config.client.chroot_env.end());
  settings.response_headers.insert(config.http_api_response_headers.begin(), config.http_api_response_headers.end());
  settings.gc_max_allocs = config.client.gc_max_allocs;
  settings.gc_parallel_destroys = config.client.gc_parallel_destroys;
  settings.gc_disk_usage_threshold = config.client.gc_disk_usage_threshold;
  settings.gc_inode_usage_threshold = config.client.gc_inode_usage_threshold;
  settings.gc_interval = std::max<Duration>(config.client.gc_interval, std::chrono::seconds(1));
  settings.max_kill_timeout = config.client.max_kill_timeout;
  STEPPE_TRY(settings.artifact, artifact_of(config.client.artifact, environment));
  if (const auto plugin = config.plugins.find("exec"); plugin != config.plugins.end()) settings.exec_plugin = plugin->second.config;
  return settings;
}

std::string agent_help(std::string_view program) {
  std::vector<cli::Row> rows;
  for (const Spec& spec : specs()) rows.push_back({std::format("    -{}{}", spec.name, spec.kind == kSwitch ? "" : "=<value>"), std::string(spec.help)});
  return std::format("Usage: {} agent [options]\n\n  Runs an agent until it is interrupted. SIGHUP reads the configuration again.\n\nOptions:\n{}", program, cli::table(rows));
}

}  // namespace steppe::agent
