#include "agent/config/load.h"

#include <algorithm>
#include <format>

#include "agent/config/json_body.h"
#include "agent/config/section.h"
#include "init/base/log.h"
#include "init/base/text.h"
#include "init/hcl/parser.h"

namespace steppe::config {
namespace {

bool is_json(std::string_view text) { return trim(text).starts_with('{'); }

// Texts of every setting. Secrets are kept readable: whoever shows them replaces them.
class Lister final : public Fields {
 public:
  explicit Lister(std::string path, TextMap& out, std::set<std::string>& secrets)
      : path_(std::move(path)), out_(out), secrets_(secrets) {}

  void text(std::string_view key, std::string& value) override { put(key, value); }
  void flag(std::string_view key, bool& value) override { put(key, value ? "true" : "false"); }
  void integer(std::string_view key, int64_t& value, int64_t, int64_t) override { put(key, std::to_string(value)); }
  void optional_integer(std::string_view key, std::optional<int64_t>& value, int64_t, int64_t) override {
    put(key, value ? std::to_string(*value) : "");
  }
  void real(std::string_view key, double& value) override { put(key, std::format("{}", value)); }
  void duration(std::string_view key, Duration& value) override { put(key, format_duration(value)); }
  void texts(std::string_view key, TextList& value, Lists) override { put(key, join(value, ", ")); }
  void map(std::string_view key, TextMap& value) override {
    for (const auto& [name, item] : value) put(std::string(key) + "." + name, item);
  }
  void secret(std::string_view key, Secret& value) override {
    if (!value.empty()) secrets_.insert(path_of(key));
    put(key, value.reveal());
  }
  void opaque(std::string_view key, drivers::ConfigMap& value) override {
    for (const auto& [name, item] : value) put_value(std::string(key) + "." + name, item);
  }
  void ignored(std::string_view) override {}
  void not_acted_on() override {}
  bool reading() const override { return false; }
  void block(std::string_view key, const std::function<void(Fields&)>& inside) override {
    Lister inner(path_of(key), out_, secrets_);
    inside(inner);
  }
  void named_blocks(std::string_view key, const std::vector<std::string>& present,
                    const std::function<void(Fields&, const std::string& label)>& inside) override {
    for (const std::string& label : present) {
      Lister inner(path_of(key) + "." + label, out_, secrets_);
      inside(inner, label);
    }
  }

 private:
  std::string path_of(std::string_view key) const {
    return path_.empty() ? std::string(key) : path_ + "." + std::string(key);
  }
  void put(std::string_view key, std::string value) { out_.insert_or_assign(path_of(key), std::move(value)); }

  void put_value(const std::string& key, const drivers::ConfigValue& value) {
    if (const auto* map = std::get_if<drivers::ConfigMap>(&value.value)) {
      for (const auto& [name, item] : *map) put_value(key + "." + name, item);
    } else if (const auto* list = std::get_if<drivers::ConfigList>(&value.value)) {
      for (size_t i = 0; i < list->size(); ++i) put_value(std::format("{}[{}]", key, i), (*list)[i]);
    } else if (const auto* text = std::get_if<std::string>(&value.value)) {
      put(key, *text);
    } else if (const auto* flag = std::get_if<bool>(&value.value)) {
      put(key, *flag ? "true" : "false");
    } else if (const auto* integer = std::get_if<int64_t>(&value.value)) {
      put(key, std::to_string(*integer));
    } else if (const auto* real = std::get_if<double>(&value.value)) {
      put(key, std::format("{}", *real));
    }
  }

  std::string path_;
  TextMap& out_;
  std::set<std::string>& secrets_;
};

TextMap list_all(AgentConfig config, std::set<std::string>& secrets) {
  TextMap out;
  Lister lister("", out, secrets);
  describe(lister, config);
  return out;
}

// What a running agent takes over: its log's level, its headers and its node's metadata.
bool is_reloadable(std::string_view path) {
  return path == "log_level" || path.starts_with("http_api_response_headers.") || path.starts_with("client.meta.") ||
         path.starts_with("telemetry.publish_");
}

}  // namespace

Result<> load(const std::vector<File>& files, AgentConfig* config, std::vector<std::string>* warnings) {
  hcl::Diagnostics diagnostics;
  std::set<std::string> ignored;
  for (const File& file : files) {
    hcl::Source source{file.name, file.text};
    hcl::Budget budget;
    Reading reading{source, diagnostics, budget, ignored};
    size_t before = diagnostics.error_count();
    hcl::Body body = is_json(source.text) ? parse_json_body(source, diagnostics)
                                          : hcl::parse_body(source, diagnostics, hcl::Dialect::kConfiguration);
    if (diagnostics.error_count() != before) continue;
    objects_to_blocks(body);
    Section section(body, "", reading);
    describe(section, *config);
    section.finish();
  }
  if (diagnostics.has_errors()) return diagnostics.to_error();
  if (warnings) warnings->assign(ignored.begin(), ignored.end());
  return {};
}

Result<> check(const AgentConfig& config, bool dev) {
  std::string faults;
  auto fault = [&](std::string text) { faults += (faults.empty() ? "" : "\n") + std::move(text); };
  if (config.data_dir.empty() && !dev) fault("Must specify \"data_dir\" config option or \"data-dir\" CLI flag");
  for (auto& [key, path] : std::initializer_list<std::pair<std::string_view, const std::string&>>{
           {"data_dir", config.data_dir},
           {"plugin_dir", config.plugin_dir},
           {"server.data_dir", config.server.data_dir},
           {"client.state_dir", config.client.state_dir},
           {"client.alloc_dir", config.client.alloc_dir}}) {
    if (!path.empty() && !path.starts_with('/'))
      fault(std::format("{} must be given as an absolute path: got {}", key, path));
  }
  if (!config.server.enabled && !config.client.enabled && !dev)
    fault("Must specify either server, client or dev mode for the agent.");
  if (!log::parse_level(config.log_level).ok())
    fault(std::format("log_level \"{}\" is unknown: expected TRACE, DEBUG, INFO, WARN or ERROR", config.log_level));
  if (config.client.min_dynamic_port > config.client.max_dynamic_port) {
    fault(std::format("client.min_dynamic_port {} is above client.max_dynamic_port {}", config.client.min_dynamic_port,
                      config.client.max_dynamic_port));
  }
  if (config.server.job_default_priority > config.server.job_max_priority) {
    fault(std::format("server.job_default_priority {} is above server.job_max_priority {}",
                      config.server.job_default_priority, config.server.job_max_priority));
  }
  for (auto& [name, volume] : config.client.host_volumes) {
    if (volume.path.empty()) fault(std::format("client.host_volume \"{}\" has no path", name));
  }
  // Whoever asks for these counts on being protected: to go on without would be the worst answer.
  if (config.acl.enabled)
    fault("acl.enabled: this version has no ACLs, so whoever reaches the API may do everything: take it out to accept that");
  if (config.tls.http) fault("tls.http: this version speaks plain HTTP only: take it out to accept that");
  const std::string& algorithm = config.server.scheduler.algorithm;
  if (algorithm != "binpack" && algorithm != "spread")
    fault(std::format("scheduler_algorithm \"{}\" is unknown: expected binpack or spread", algorithm));
  for (auto& [key, name] : std::initializer_list<std::pair<std::string_view, const std::string&>>{
           {"region", config.region}, {"datacenter", config.datacenter}}) {
    if (name.empty() || name.contains('\0')) fault(std::format("{} must not be empty", key));
  }
  if (config.datacenter.find_first_of("*?[]") != std::string::npos) fault("datacenter must not contain a wildcard");
  if (faults.empty()) return {};
  return Error(Code::kInvalid, std::move(faults));
}

std::vector<std::string> config_files_of(std::vector<std::string> names) {
  std::erase_if(names, [](const std::string& name) {
    return name.starts_with('.') || name.ends_with('~') || (name.starts_with('#') && name.ends_with('#')) ||
           !(name.ends_with(".hcl") || name.ends_with(".json"));
  });
  std::sort(names.begin(), names.end());
  return names;
}

Changes compare(const AgentConfig& before, const AgentConfig& after) {
  std::set<std::string> secrets;
  TextMap old_values = list_all(before, secrets), new_values = list_all(after, secrets);
  std::set<std::string> paths;
  for (const auto& [path, value] : old_values) paths.insert(path);
  for (const auto& [path, value] : new_values) paths.insert(path);
  Changes changes;
  for (const std::string& path : paths) {
    auto was = old_values.find(path), is = new_values.find(path);
    bool same = was != old_values.end() && is != new_values.end() && was->second == is->second;
    if (!same) (is_reloadable(path) ? changes.applied : changes.need_restart).push_back(path);
  }
  return changes;
}

TextMap flatten(const AgentConfig& config) {
  std::set<std::string> secrets;
  TextMap values = list_all(config, secrets);
  for (const std::string& path : secrets) values[path] = "<redacted>";
  return values;
}

Result<> check_text(const std::string& name, const std::string& text) {
  AgentConfig config;
  std::vector<std::string> ignored;
  return load({{name, text}}, &config, &ignored);
}

}  // namespace steppe::config
