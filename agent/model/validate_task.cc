#include <algorithm>
#include <map>
#include <set>

#include "agent/model/quoted.h"
#include "agent/model/validate_parts.h"
#include "agent/schema/job.pb.h"
#include "drivers/api/config_keys.h"
#include "init/base/text.h"

namespace steppe::model::parts {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
// No machine has as many MHz, MB or cores; sums over all the tasks of a cluster still fit.
constexpr int64_t kLargest = int64_t{1} << 30;

// Whether a relative path of the task could leave the alloc directory: Nomad lets "../" reach from the task's directory
// into the alloc's, so the path is taken from one level below.
bool escapes(std::string_view path) {
  int depth = 1;
  for (const std::string_view part : split(path, '/')) {
    if (part.empty() || part == ".") continue;
    depth += part == ".." ? -1 : 1;
    if (depth < 0) return true;
  }
  return false;
}

void validate_resources(const schema::Resources& resources, Findings* out) {
  if (resources.cores() < 0) out->add("cores must not be negative; got {}", resources.cores());
  if (resources.cores() > 0 && resources.cpu() > 0) {
    out->add("Task can only ask for 'cpu' or 'cores' resource, not both.");
  }
  if (resources.cpu() < 1 && resources.cores() <= 0) out->add("minimum CPU value is 1; got {}", resources.cpu());
  if (resources.memory_mb() < 10) out->add("minimum MemoryMB value is 10; got {}", resources.memory_mb());
  if (resources.memory_max_mb() < -1) out->add("MemoryMaxMB must be -1 (unlimited) or more; got {}", resources.memory_max_mb());
  if (resources.memory_max_mb() > 0 && resources.memory_max_mb() < resources.memory_mb()) {
    out->add("MemoryMaxMB value ({}) should be larger than MemoryMB value ({})", resources.memory_max_mb(), resources.memory_mb());
  }
  struct Amount {
    const char* name;
    int64_t value;
  };
  for (const Amount& amount : {Amount{"CPU", resources.cpu()}, Amount{"Cores", resources.cores()}, Amount{"MemoryMB", resources.memory_mb()},
                               Amount{"MemoryMaxMB", resources.memory_max_mb()}, Amount{"SecretsMB", resources.secrets_mb()}}) {
    if (amount.value > kLargest) out->add("maximum {} value is {}; got {}", amount.name, kLargest, amount.value);
  }
  if (resources.secrets_mb() < 0) out->add("SecretsMB value ({}) cannot be negative", resources.secrets_mb());
  for (int i = 0; i < resources.devices_size(); ++i) {
    const schema::RequestedDevice& device = resources.devices(i);
    Findings inner;
    inner.require(!device.name().empty(), "device name must be given as one of the following: type, vendor/type, or vendor/type/name");
    inner.require(device.count() > 0, "device count must be greater than zero");
    validate_constraints(device.constraints(), Level::kTask, &inner);
    validate_affinities(device.affinities(), false, &inner);
    out->nest(std::format("device {} validation failed", i + 1), inner);
  }
  static const std::set<std::string_view> kNuma = {"none", "prefer", "require"};
  if (resources.has_numa() && !kNuma.contains(resources.numa().affinity())) {
    out->add("numa affinity must be one of none, prefer, or require; got {}", go_quoted(resources.numa().affinity()));
  }
}

void validate_artifact(const schema::TaskArtifact& artifact, Findings* out) {
  out->require(!artifact.getter_source().empty(), "source must be specified");
  const std::string& mode = artifact.getter_mode();
  if (mode != "any" && mode != "file" && mode != "dir") {
    out->add("invalid artifact mode {}; must be one of: any, file, dir", go_quoted(mode));
  }
  out->require(!escapes(artifact.relative_dest()), "destination escapes allocation directory");
  const auto checksum = artifact.getter_options().find("checksum");
  if (checksum == artifact.getter_options().end() || checksum->second.find("${") != std::string::npos) return;
  static const std::map<std::string_view, size_t> kDigits = {{"md5", 32}, {"sha1", 40}, {"sha256", 64}, {"sha512", 128}};
  const std::string_view text = checksum->second;
  const size_t colon = text.find(':');
  const std::string_view type = text.substr(0, colon);
  if (type == "file") return;
  const auto known = kDigits.find(type);
  if (colon == std::string_view::npos) {
    out->add("invalid checksum {}: must be given as \"TYPE:VALUE\"", go_quoted(text));
  } else if (known == kDigits.end()) {
    out->add("unsupported checksum type: {}", type);
  } else if (const std::string_view digits = text.substr(colon + 1);
             digits.size() != known->second || digits.find_first_not_of("0123456789abcdefABCDEF") != std::string_view::npos) {
    out->add("invalid checksum: {} of {} needs {} hexadecimal digits", go_quoted(text), type, known->second);
  }
}

void validate_template(const schema::Template& item, Findings* out) {
  out->require(!item.source_path().empty() || !item.embedded_tmpl().empty(),
               "Must specify a source path or have an embedded template");
  out->require(!item.dest_path().empty(), "Must specify a destination for the template");
  out->require(!escapes(item.dest_path()), "destination escapes allocation directory");
  const std::string& mode = item.change_mode();
  if (mode == "signal") {
    out->require(!item.change_signal().empty(), "Must specify signal value when change mode is signal");
    out->require(!item.envvars(), "cannot use signals with env var templates");
  } else if (mode == "script") {
    out->require(item.has_change_script(), "must specify change script configuration value when change mode is script");
    if (item.has_change_script()) {
      out->require(!item.change_script().command().empty(), "must specify script path value when change mode is script");
      out->require(item.change_script().timeout() > 0, "change_script timeout must be greater than zero");
    }
  } else if (mode != "noop" && mode != "restart") {
    out->add("Invalid change mode. Must be one of the following: noop, signal, script, restart");
  }
  out->require(item.splay() >= 0, "Must specify positive splay value");
  const std::string& perms = item.perms();
  if (perms.empty() || perms.size() > 5 || perms.find_first_not_of("01234567") != std::string::npos) {
    out->add("Failed to parse {} as octal", go_quoted(perms));
  }
  if (item.has_wait() && item.wait().has_min() && item.wait().has_max()) {
    out->require(item.wait().min() <= item.wait().max(), "wait min must be less than or equal to wait max");
  }
}

void validate_vault(const schema::Vault& vault, Findings* out) {
  static const std::set<std::string_view> kModes = {"noop", "restart", "signal"};
  if (!kModes.contains(vault.change_mode())) out->add("Unknown change mode {}", go_quoted(vault.change_mode()));
  out->require(vault.change_mode() != "signal" || !vault.change_signal().empty(),
               "Signal must be specified when using change mode \"signal\"");
  for (const auto& policy : vault.policies()) out->require(policy != "root", "Can not specify \"root\" policy");
}

void validate_identity(const schema::WorkloadIdentity& identity, bool named, Findings* out) {
  const std::string& name = identity.name();
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  };
  if (named && (name.empty() || name.size() > 128 || !std::ranges::all_of(name, fits))) {
    out->add("invalid name {}. Must match regex ^[a-zA-Z0-9-_]{{1,128}}$", go_quoted(name));
  }
  out->require(!named || !identity.audience().empty(), "must have at least one audience");
  for (const auto& audience : identity.audience()) out->require(!audience.empty(), "an empty string is an invalid audience");
  out->require(identity.ttl() >= 0, "ttl must not be negative");
  out->require(named || identity.ttl() == 0, "ttl may not be set on the default identity");
  const std::string& mode = identity.change_mode();
  if (!mode.empty() && mode != "noop" && mode != "restart" && mode != "signal") out->add("invalid change_mode: {}", go_quoted(mode));
  out->require(mode != "signal" || !identity.change_signal().empty(), "change_signal must be set when change_mode is signal");
  out->require(identity.filepath().empty() || identity.file(), "filepath may only be set when file is true");
  out->require(!escapes(identity.filepath()), "filepath escapes allocation directory");
}

void validate_mounts(const schema::TaskGroup& group, const schema::Task& task, Findings* out) {
  for (int i = 0; i < task.volume_mounts_size(); ++i) {
    const schema::VolumeMount& mount = task.volume_mounts(i);
    static const std::set<std::string_view> kModes = {"private", "host-to-task", "bidirectional"};
    if (mount.volume().empty()) {
      out->add("Volume Mount ({}) references an empty volume", i);
    } else if (!group.volumes().contains(mount.volume())) {
      out->add("Volume Mount ({}) references undefined volume {}", i, mount.volume());
    }
    if (mount.destination().empty()) out->add("Volume Mount ({}) has an empty destination", i);
    if (!kModes.contains(mount.propagation_mode())) {
      out->add("Volume Mount ({}) has an invalid propagation mode: {}", i, go_quoted(mount.propagation_mode()));
    }
    const std::string& label = mount.selinux_label();
    if (!label.empty() && label != "z" && label != "Z") out->add("Volume Mount ({}) \"{}\" is not a valid SELinux label, must be z or Z", i, label);
  }
}

template <class List, class Validate>
void validate_each(const List& list, const char* title, Findings* out, Validate validate) {
  for (int i = 0; i < list.size(); ++i) {
    Findings inner;
    validate(list[i], &inner);
    out->nest(std::format("{} {} validation failed", title, i + 1), inner);
  }
}

void validate_lifecycle(const schema::TaskLifecycleConfig& lifecycle, Findings* out) {
  static const std::set<std::string_view> kHooks = {"prestart", "poststart", "poststop"};
  if (lifecycle.hook().empty()) {
    out->add("no lifecycle hook provided");
  } else if (!kHooks.contains(lifecycle.hook())) {
    out->add("invalid hook: {}", lifecycle.hook());
  }
  out->require(lifecycle.hook() != "poststop" || !lifecycle.sidecar(), "a poststop task cannot be a sidecar");
}

void validate_parts(const schema::TaskGroup& group, const schema::Task& task, Findings* out) {
  validate_each(task.artifacts(), "Artifact", out, validate_artifact);
  validate_each(task.templates(), "Template", out, validate_template);
  std::map<std::string_view, int> destinations;
  for (int i = 0; i < task.templates_size(); ++i) {
    const auto [found, fresh] = destinations.emplace(task.templates(i).dest_path(), i);
    if (!fresh) out->add("Template {} has same destination as Template {}", i + 1, found->second + 1);
  }
  if (task.has_vault()) {
    Findings inner;
    validate_vault(task.vault(), &inner);
    out->nest("Vault validation failed", inner);
  }
  if (task.has_dispatch_payload()) {
    out->require(!escapes(task.dispatch_payload().file()), "Dispatch Payload validation failed: destination escapes allocation directory");
  }
  validate_mounts(group, task, out);
  Findings own;
  validate_identity(task.identity(), false, &own);
  out->nest("Identity default is invalid", own);
  std::set<std::string_view> names;
  for (const auto& identity : task.identities()) {
    Findings inner;
    validate_identity(identity, true, &inner);
    if (!names.insert(identity.name()).second) inner.add("duplicate identity name");
    out->nest(std::format("Identity {} is invalid", go_quoted(identity.name())), inner);
  }
  std::set<std::string_view> actions;
  for (const auto& action : task.actions()) {
    if (action.name().empty() || action.command().empty()) out->add("Action {} must have a name and a command", go_quoted(action.name()));
    if (!actions.insert(action.name()).second) out->add("Action {} is defined more than once", go_quoted(action.name()));
  }
  std::set<std::string_view> secrets;
  for (const auto& secret : task.secrets()) {
    if (secret.name().empty()) out->add("secret name cannot be empty");
    if (secret.provider().empty()) out->add("secret provider cannot be empty");
    if (secret.path().empty()) out->add("secret path cannot be empty");
    if (!secrets.insert(secret.name()).second) out->add("secret {} is defined more than once", go_quoted(secret.name()));
  }
}

// Keys that the driver does not have. Nomad tells when the task starts; nobody waits that long for a typing error. Values are
// the driver's to judge: they may hold what only the node can fill in.
void validate_config(const schema::Task& task, Findings* out) {
  const auto known = drivers::config_keys(task.driver());
  if (known.empty()) return;
  std::set<std::string_view> unknown;
  for (const auto& [key, value] : task.config()) {
    if (!std::ranges::binary_search(known, std::string_view(key))) unknown.insert(key);
  }
  for (const std::string_view key : unknown) {
    out->add("config: driver {} has no key {}; it has {}", go_quoted(task.driver()), go_quoted(key),
             join(std::vector<std::string>(known.begin(), known.end()), ", "));
  }
}

// ---- services ----

bool is_service_name(std::string_view name) {
  if (name.empty() || name.size() > 63 || name.front() == '-' || name.back() == '-') return false;
  return std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
  });
}

void validate_check(const schema::Service& service, const schema::ServiceCheck& check, Findings* out) {
  const bool nomad = service.provider() == "nomad";
  static const std::set<std::string_view> kNomad = {"http", "tcp"};
  static const std::set<std::string_view> kConsul = {"http", "tcp", "script", "grpc"};
  if (!(nomad ? kNomad : kConsul).contains(lower(check.type()))) {
    out->add("invalid check type ({}), must be one of {}", go_quoted(check.type()), nomad ? "tcp, http" : "tcp, http, grpc, script");
  }
  if (check.type() == "http") {
    out->require(!check.path().empty(), "http type must have http path");
    static const std::set<std::string_view> kMethods = {"", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"};
    if (!kMethods.contains(check.method())) out->add("http type check does not support method {}", go_quoted(check.method()));
  }
  if (check.type() == "script") out->require(!check.command().empty(), "script type must have a valid script path");
  if (check.interval() == 0) {
    out->add("missing required value interval. Interval cannot be less than 1s");
  } else if (check.interval() < kSecond) {
    out->add("interval ({}) cannot be lower than 1s", duration_text(check.interval()));
  }
  if (check.timeout() == 0) {
    out->add("missing required value timeout. Timeout cannot be less than 1s");
  } else if (check.timeout() < kSecond) {
    out->add("timeout ({}) is lower than required minimum timeout 1s", duration_text(check.timeout()));
  }
  static const std::set<std::string_view> kStates = {"", "passing", "warning", "critical"};
  if (!kStates.contains(check.initial_status())) {
    out->add("invalid initial check state ({}), must be one of \"passing\", \"warning\", \"critical\" or empty", go_quoted(check.initial_status()));
  }
  static const std::set<std::string_view> kModes = {"", "alloc", "host", "driver"};
  if (!kModes.contains(check.address_mode())) out->add("invalid address_mode {}", go_quoted(check.address_mode()));
  if (check.has_check_restart()) {
    if (check.check_restart().limit() < 0) out->add("limit must be greater than or equal to 0 but found {}", check.check_restart().limit());
    out->require(check.check_restart().grace() >= 0, "grace period cannot be negative");
  }
}

void validate_service(const schema::Service& service, Findings* out) {
  // Names with tokens of the client are judged when they are filled in.
  if (service.name().find("${") == std::string::npos && !is_service_name(service.name())) {
    out->add("Service name must be valid per RFC 1123 and can contain only alphanumeric characters or dashes and must be no "
             "longer than 63 characters");
  }
  if (service.provider() != "consul" && service.provider() != "nomad") {
    out->add("Service provider must be \"consul\" or \"nomad\"; got {}", go_quoted(service.provider()));
  }
  static const std::set<std::string_view> kModes = {"auto", "alloc", "host", "driver"};
  if (!kModes.contains(service.address_mode())) {
    out->add("Service address_mode must be \"auto\", \"host\", \"driver\" or \"alloc\"; not {}", go_quoted(service.address_mode()));
  }
  out->require(service.address().empty() || service.address_mode() == "auto",
               "Service address_mode must be \"auto\" if address is set");
  static const std::set<std::string_view> kUpdates = {"require_healthy", "ignore_warnings", "ignore"};
  if (!kUpdates.contains(service.on_update())) {
    out->add("Service on_update must be \"require_healthy\", \"ignore_warnings\", or \"ignore\"; not {}", go_quoted(service.on_update()));
  }
  if (service.provider() == "nomad") {
    out->require(!service.has_connect(), "Service with provider nomad cannot include Connect blocks");
  }
  for (const auto& check : service.checks()) {
    Findings inner;
    validate_check(service, check, &inner);
    if (check.port_label().empty() && service.port_label().empty() && (check.type() == "http" || check.type() == "tcp")) {
      inner.add("invalid: check requires a port but neither check nor service {} have a port", go_quoted(service.name()));
    }
    out->nest(std::format("Check {} is invalid", check.name()), inner);
  }
}

// A port is a number, or the label of a port of the group or of the task's own networks.
void validate_port_labels(const schema::TaskGroup& group, const schema::Task* task, const schema::Service& service,
                          Findings* out) {
  std::set<std::string_view> labels;
  const auto add = [&labels](const schema::NetworkResource& network) {
    for (const auto* ports : {&network.reserved_ports(), &network.dynamic_ports()}) {
      for (const auto& port : *ports) labels.insert(port.label());
    }
  };
  for (const auto& network : group.networks()) add(network);
  if (task != nullptr) {
    for (const auto& network : task->resources().networks()) add(network);
  }
  const auto check = [&](const std::string& label) {
    if (label.empty() || labels.contains(label) || label.find("${") != std::string::npos) return;
    const auto number = parse_uint(label);
    if (number.ok() && *number > 0 && *number <= 65535) return;
    // The driver may know a port of that name.
    if (service.address_mode() == "driver") return;
    out->add("port label {} referenced by services {} does not exist", go_quoted(label), service.name());
  };
  check(service.port_label());
  for (const auto& item : service.checks()) check(item.port_label());
}

}  // namespace

void validate_services(const schema::TaskGroup& group, const schema::Task* task, Findings* out) {
  const auto& services = task != nullptr ? task->services() : group.services();
  std::set<std::string> seen;
  for (int i = 0; i < services.size(); ++i) {
    const schema::Service& service = services[i];
    Findings inner;
    validate_service(service, &inner);
    validate_port_labels(group, task, service, &inner);
    if (task != nullptr && service.has_connect()) inner.add("Connect blocks are only allowed in group services");
    out->nest(std::format("Service[{}] {} validation failed", i, service.name()), inner);
    if (!seen.insert(std::format("{}\n{}\n{}", service.provider(), service.name(), service.port_label())).second) {
      out->add("Service {} is duplicate", service.name());
    }
  }
}

void validate_task(const schema::Job& job, const schema::TaskGroup& group, const schema::Task& task, Findings* out) {
  out->require(!task.name().empty(), "Missing task name");
  out->require(task.name().find_first_of("/\\") == std::string::npos, "Task name cannot include slashes");
  out->require(task.name().find('\0') == std::string::npos, "Task name cannot include null bytes");
  // A task has a directory of its name beside others, and files that begin with it.
  static constexpr size_t kLongestName = 128;
  out->require(task.name() != "alloc" && !task.name().starts_with('.'),
               "Task name cannot be \"alloc\" or begin with a dot: the alloc directory has a use for such names");
  out->require(task.name().size() <= kLongestName, "Task name cannot be longer than 128 bytes");
  out->require(std::ranges::none_of(task.name(), [](char c) { return c != 0 && (static_cast<unsigned char>(c) < 0x20 || c == 0x7f); }),
               "Task name cannot include control characters");
  out->require(!task.driver().empty(), "Missing task driver");
  validate_config(task, out);
  out->require(task.kill_timeout() >= 0, "KillTimeout must be a positive value");
  out->require(task.shutdown_delay() >= 0, "ShutdownDelay must be a positive value");
  validate_resources(task.resources(), out);
  if (task.log_config().max_files() < 1) out->add("minimum number of files is 1; got {}", task.log_config().max_files());
  if (task.log_config().max_file_size_mb() < 1) out->add("minimum file size is 1MB; got {}", task.log_config().max_file_size_mb());
  validate_constraints(task.constraints(), Level::kTask, out);
  validate_affinities(task.affinities(), job.type() == "system", out);
  validate_services(group, &task, out);
  if (task.has_lifecycle()) validate_lifecycle(task.lifecycle(), out);
  out->require(!task.leader() || !task.has_lifecycle() || task.lifecycle().hook() != "poststop", "a poststop task cannot be the leader");
  validate_parts(group, task, out);
}

}  // namespace steppe::model::parts
