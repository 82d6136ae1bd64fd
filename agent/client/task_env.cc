#include "agent/client/task_env.h"

#include <algorithm>
#include <format>

#include "agent/model/alloc_status.h"
#include "agent/model/interpolate.h"
#include "agent/schema/alloc.pb.h"
#include "agent/schema/job.pb.h"
#include "agent/schema/node.pb.h"
#include "agent/schema/value.pb.h"

namespace steppe::client {
namespace {

constexpr int kMaxConfigDepth = 64;

const schema::TaskGroup* find_group(const schema::Allocation& alloc) {
  for (const schema::TaskGroup& group : alloc.job().task_groups()) {
    if (group.name() == alloc.task_group()) return &group;
  }
  return nullptr;
}

std::string join_host_port(std::string_view ip, int64_t port) {
  if (ip.find(':') != ip.npos) return std::format("[{}]:{}", ip, port);
  return std::format("{}:{}", ip, port);
}

std::string upper(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return out;
}

drivers::ConfigValue convert_value(const TaskEnv& env, const schema::Value& value, int depth) {
  using Kind = schema::Value::KindCase;
  if (depth > kMaxConfigDepth) return {};
  switch (value.kind_case()) {
    case Kind::kBoolean: return value.boolean();
    case Kind::kInteger: return static_cast<int64_t>(value.integer());
    case Kind::kNumber: return value.number();
    case Kind::kText: return env.replace(value.text());
    case Kind::kList: {
      drivers::ConfigList list;
      for (const schema::Value& item : value.list().items()) list.push_back(convert_value(env, item, depth + 1));
      return list;
    }
    case Kind::kObject: {
      drivers::ConfigMap map;
      for (const auto& [key, item] : value.object().fields()) map[key] = convert_value(env, item, depth + 1);
      return map;
    }
    case Kind::kNull:
    case Kind::KIND_NOT_SET: break;
  }
  return {};
}

}  // namespace

std::string cpuset_text(std::vector<uint64_t> cores) {
  std::ranges::sort(cores);
  std::string out;
  for (size_t i = 0; i < cores.size();) {
    size_t end = i;
    while (end + 1 < cores.size() && cores[end + 1] <= cores[end] + 1) ++end;
    if (!out.empty()) out += ',';
    out += cores[i] == cores[end] ? std::to_string(cores[i]) : std::format("{}-{}", cores[i], cores[end]);
    i = end + 1;
  }
  return out;
}

TaskEnv::TaskEnv(const EnvSources& sources) : node_(sources.node), region_(sources.region) {
  add_identity(sources);
  add_resources(sources);
  add_meta(sources);
  add_ports(sources);
  for (const auto& [key, value] : sources.host) variables_.try_emplace(key, value);
  // Values of `env` see the layers below them, not each other: their order is nobody's.
  EnvMap own;
  for (const auto& [key, value] : sources.task.env()) own[key] = replace(value);
  for (auto& [key, value] : own) variables_[key] = std::move(value);
  for (const auto& [key, value] : sources.hooks) variables_[key] = value;
  for (const auto& [key, value] : sources.templates) variables_[key] = value;
}

void TaskEnv::add_identity(const EnvSources& s) {
  const schema::Allocation& alloc = s.alloc;
  EnvMap& v = variables_;
  v["NOMAD_ALLOC_DIR"] = s.paths.alloc;
  v["NOMAD_TASK_DIR"] = s.paths.local;
  v["NOMAD_SECRETS_DIR"] = s.paths.secrets;
  v["NOMAD_ALLOC_ID"] = alloc.id();
  v["NOMAD_SHORT_ALLOC_ID"] = alloc.id().substr(0, 8);
  v["NOMAD_ALLOC_NAME"] = alloc.name();
  if (auto index = model::alloc_index(alloc.name())) v["NOMAD_ALLOC_INDEX"] = std::to_string(*index);
  v["NOMAD_TASK_NAME"] = s.task.name();
  v["NOMAD_GROUP_NAME"] = alloc.task_group();
  v["NOMAD_JOB_ID"] = alloc.job_id();
  v["NOMAD_JOB_NAME"] = alloc.job().name();
  if (!alloc.job().parent_id().empty()) v["NOMAD_JOB_PARENT_ID"] = alloc.job().parent_id();
  v["NOMAD_DC"] = s.node.datacenter();
  v["NOMAD_REGION"] = s.region;
  v["NOMAD_NAMESPACE"] = alloc.namespace_();
  if (!s.node.cgroup_parent().empty()) v["NOMAD_PARENT_CGROUP"] = s.node.cgroup_parent();
}

void TaskEnv::add_resources(const EnvSources& s) {
  const auto& tasks = s.alloc.allocated_resources().tasks();
  auto found = tasks.find(s.task.name());
  if (found == tasks.end()) return;
  const schema::AllocatedTaskResources& resources = found->second;
  variables_["NOMAD_CPU_LIMIT"] = std::to_string(resources.cpu().cpu_shares());
  variables_["NOMAD_MEMORY_LIMIT"] = std::to_string(resources.memory().memory_mb());
  if (resources.memory().memory_max_mb() > 0) {
    variables_["NOMAD_MEMORY_MAX_LIMIT"] = std::to_string(resources.memory().memory_max_mb());
  }
  const auto& cores = resources.cpu().reserved_cores();
  if (!cores.empty()) variables_["NOMAD_CPU_CORES"] = cpuset_text({cores.begin(), cores.end()});
}

void TaskEnv::add_meta(const EnvSources& s) {
  EnvMap merged;
  if (s.alloc.job().has_parameterized_job()) {
    for (const std::string& key : s.alloc.job().parameterized_job().meta_optional()) merged[key] = "";
  }
  for (const auto& [key, value] : s.alloc.job().meta()) merged[key] = value;
  if (const schema::TaskGroup* group = find_group(s.alloc)) {
    for (const auto& [key, value] : group->meta()) merged[key] = value;
  }
  for (const auto& [key, value] : s.task.meta()) merged[key] = value;
  for (const auto& [key, value] : merged) {
    std::string text = replace(value);
    variables_["NOMAD_META_" + model::clean_env_name(key)] = text;
    variables_["NOMAD_META_" + model::clean_env_name(upper(key))] = text;
  }
}

void TaskEnv::add_port(std::string_view label, std::string_view ip, int64_t port, int64_t to) {
  std::string name = model::clean_env_name(label);
  int64_t inside = to > 0 ? to : port;
  EnvMap& v = variables_;
  v["NOMAD_IP_" + name] = ip;
  v["NOMAD_PORT_" + name] = std::to_string(inside);
  v["NOMAD_ADDR_" + name] = join_host_port(ip, port);
  v["NOMAD_HOST_IP_" + name] = ip;
  v["NOMAD_HOST_PORT_" + name] = std::to_string(port);
  v["NOMAD_HOST_ADDR_" + name] = join_host_port(ip, port);
  v["NOMAD_ALLOC_PORT_" + name] = std::to_string(inside);
}

void TaskEnv::add_ports(const EnvSources& s) {
  const schema::AllocatedResources& resources = s.alloc.allocated_resources();
  for (const schema::NetworkResource& network : resources.shared().networks()) {
    for (const auto* ports : {&network.reserved_ports(), &network.dynamic_ports()}) {
      for (const schema::Port& port : *ports) add_port(port.label(), network.ip(), port.value(), port.to());
    }
  }
  for (const schema::AllocatedPortMapping& port : resources.shared().ports()) {
    add_port(port.label(), port.host_ip(), port.value(), port.to());
  }
  // Networks of tasks (deprecated): a task sees its own plainly and its siblings' by name.
  for (const auto& [task, own] : resources.tasks()) {
    for (const schema::NetworkResource& network : own.networks()) {
      for (const auto* ports : {&network.reserved_ports(), &network.dynamic_ports()}) {
        for (const schema::Port& port : *ports) {
          std::string suffix = task + "_" + port.label();
          suffix = model::clean_env_name(suffix);
          if (task == s.task.name()) {
            add_port(port.label(), network.ip(), port.value(), port.to());
          } else {
            variables_["NOMAD_IP_" + suffix] = network.ip();
            variables_["NOMAD_PORT_" + suffix] = std::to_string(port.value());
            variables_["NOMAD_ADDR_" + suffix] = join_host_port(network.ip(), port.value());
          }
        }
      }
    }
  }
}

std::vector<std::string> TaskEnv::list() const {
  std::vector<std::string> out;
  for (const auto& [key, value] : variables_) {
    // What holds a NUL stays in: the driver refuses it by name, where the kernel would take a part for the whole.
    if (!key.empty()) out.push_back(key + "=" + value);
  }
  return out;
}

std::optional<std::string> TaskEnv::lookup(std::string_view key) const {
  if (auto found = variables_.find(key); found != variables_.end()) return found->second;
  if (key == "node.region") return region_;
  if (!key.starts_with("node.") && !key.starts_with("attr.") && !key.starts_with("meta.")) return std::nullopt;
  auto value = model::resolve_target(node_, std::format("${{{}}}", key));
  if (!value) return std::nullopt;
  return std::string(*value);
}

std::string TaskEnv::replace(std::string_view text) const {
  return model::replace_tokens(text, [this](std::string_view key) { return lookup(key); });
}

drivers::ConfigValue TaskEnv::convert(const schema::Value& value) const { return convert_value(*this, value, 0); }

drivers::ConfigMap TaskEnv::config(const schema::Task& task) const {
  drivers::ConfigMap out;
  for (const auto& [key, value] : task.config()) out[key] = convert(value);
  return out;
}

EnvMap filter_host_env(const std::vector<std::string>& environment, const std::optional<std::set<std::string>>& denylist) {
  static const std::set<std::string> kDenied = {
      "CONSUL_TOKEN", "CONSUL_HTTP_TOKEN", "CONSUL_HTTP_TOKEN_FILE", "NOMAD_TOKEN", "NOMAD_LICENSE", "NOMAD_LICENSE_PATH",
      "STEPPE_TOKEN", "VAULT_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
      "AWS_METADATA_URL", "GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_OAUTH_ACCESS_TOKEN", "AZURE_CLIENT_SECRET",
      "AZURE_CLIENT_CERTIFICATE_PASSWORD", "ARM_CLIENT_SECRET", "CLOUDFLARE_API_TOKEN", "DIGITALOCEAN_TOKEN",
      "GITHUB_TOKEN", "GH_TOKEN", "NOMAD_CLIENT_KEY", "CONSUL_CLIENT_KEY", "VAULT_CLIENT_KEY"};
  const std::set<std::string>& denied = denylist ? *denylist : kDenied;
  EnvMap out;
  for (const std::string& entry : environment) {
    size_t equals = entry.find('=');
    if (equals == entry.npos || equals == 0) continue;
    std::string key = entry.substr(0, equals);
    bool cloud = !denylist && (key.starts_with("AWS_") || key.starts_with("NOTIFY_SOCKET") || key.starts_with("LISTEN_") ||
                               key == "CREDENTIALS_DIRECTORY" || key == "WATCHDOG_USEC" || key == "WATCHDOG_PID");
    if (cloud || denied.contains(key)) continue;
    out[key] = entry.substr(equals + 1);
  }
  return out;
}

}  // namespace steppe::client
