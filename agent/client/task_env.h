#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "drivers/api/config_value.h"

namespace steppe::schema {
class Allocation;
class Node;
class Task;
class Value;
}

namespace steppe::client {

using EnvMap = std::map<std::string, std::string, std::less<>>;

// Where a task sees its directories: /alloc, /local, /secrets where the driver isolates, host paths otherwise.
struct TaskPaths {
  std::string alloc, local, secrets;
};

struct EnvSources {
  const schema::Allocation& alloc;  // with its job
  const schema::Task& task;
  const schema::Node& node;
  std::string region;
  TaskPaths paths;
  EnvMap host;       // the agent's own environment after filter_host_env(); empty for isolating drivers
  EnvMap hooks;      // of devices and other hooks
  EnvMap templates;  // of templates with env = true
};

// The environment of a task, and ${...} replaced in its fields. Layers, weakest first: NOMAD_* and meta, host, the
// task's `env`, hooks, templates. The host never overrides NOMAD_*. Pure.
class TaskEnv {
 public:
  explicit TaskEnv(const EnvSources& sources);

  const EnvMap& variables() const { return variables_; }
  std::vector<std::string> list() const;  // "KEY=value", sorted

  // Replaces ${NAME} of the environment, ${node...}, ${attr...}, ${meta...}; what is unknown stays as it is.
  std::string replace(std::string_view text) const;
  // Every string of a driver's config, keys included as they stand.
  drivers::ConfigMap config(const schema::Task& task) const;
  drivers::ConfigValue convert(const schema::Value& value) const;

  // What {{ env "K" }} of a template sees.
  std::optional<std::string> lookup(std::string_view key) const;

 private:
  void add_identity(const EnvSources& sources);
  void add_resources(const EnvSources& sources);
  void add_meta(const EnvSources& sources);
  void add_ports(const EnvSources& sources);
  void add_port(std::string_view label, std::string_view ip, int64_t port, int64_t to);

  EnvMap variables_;
  const schema::Node& node_;
  std::string region_;
};

// `environment` as "KEY=value" lines without what must not reach tasks: credentials of clouds, Consul, Vault and ours.
// `extra_denied` adds names (client option env.denylist replaces the default list when given).
EnvMap filter_host_env(const std::vector<std::string>& environment, const std::optional<std::set<std::string>>& denylist);

// "0-2,7" of {0,1,2,7}.
std::string cpuset_text(std::vector<uint64_t> cores);

}  // namespace steppe::client
