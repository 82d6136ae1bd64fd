#include <algorithm>
#include <cstdint>
#include <map>
#include <set>

#include "agent/model/quoted.h"
#include "agent/model/validate_parts.h"
#include "agent/schema/job.pb.h"
#include "init/base/text.h"

namespace steppe::model::parts {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kMaxPort = 65535;
// No machine has as many MB; products and sums of such numbers still fit.
constexpr int64_t kLargest = int64_t{1} << 30;

void validate_restart(const schema::RestartPolicy& policy, std::string_view group, Findings* out) {
  if (policy.mode() != "fail" && policy.mode() != "delay") {
    out->add("Unsupported restart mode: {}", go_quoted(policy.mode()));
    return;
  }
  if (policy.attempts() == 0 && policy.mode() != "fail") {
    out->add("Restart policy {} with {} attempts is ambiguous", go_quoted(policy.mode()), policy.attempts());
  }
  if (policy.attempts() < 0) out->add("Restart policy attempts must not be negative (got {})", policy.attempts());
  if (policy.interval() < 5 * kSecond) {
    out->add("Interval can not be less than 5s (got {})", duration_text(policy.interval()));
  }
  if (policy.delay() < 0) out->add("Delay can not be negative (got {})", duration_text(policy.delay()));
  if (policy.attempts() > 0 && policy.delay() > policy.interval() / policy.attempts()) {
    out->add("Nomad can't restart the TaskGroup {} {} times in an interval of {} with a delay of {}", group,
             policy.attempts(), duration_text(policy.interval()), duration_text(policy.delay()));
  }
}

// The delays before the first, second, ... attempt of a policy.
class Delays {
 public:
  explicit Delays(const schema::ReschedulePolicy& policy) : policy_(policy), last_(policy.delay()) {}

  int64_t next() {
    int64_t delay = policy_.delay();
    if (count_ > 0 && policy_.delay_function() == "exponential") delay = sum(last_, last_);
    if (count_ > 1 && policy_.delay_function() == "fibonacci") delay = sum(last_, before_);
    if (policy_.delay_function() != "constant" && policy_.max_delay() > 0) delay = std::min(delay, policy_.max_delay());
    before_ = last_;
    last_ = delay;
    ++count_;
    return delay;
  }
  // Both from 0 on; stays at the largest number.
  static int64_t sum(int64_t a, int64_t b) { return a > INT64_MAX - b ? INT64_MAX : a + b; }

 private:
  const schema::ReschedulePolicy& policy_;
  int64_t last_;
  int64_t before_ = 0;
  int64_t count_ = 0;
};

void validate_limited(const schema::ReschedulePolicy& policy, bool delay_valid, Findings* out) {
  if (policy.interval() < 15 * kSecond) {
    out->add("Interval cannot be less than 15s (got {})", duration_text(policy.interval()));
  }
  if (!delay_valid) return;
  Delays delays(policy);
  int64_t possible = 0;
  int64_t needed = 0;
  for (int64_t attempt = 1; attempt <= policy.attempts(); ++attempt) {
    needed = Delays::sum(needed, delays.next());
    if (needed <= policy.interval()) possible = attempt;
  }
  if (possible == policy.attempts()) return;
  const std::string ceiling = policy.delay_function() == "constant"
                                  ? std::string()
                                  : std::format(", and delay ceiling {}", duration_text(policy.max_delay()));
  out->add("Nomad can only make {} attempts in {} with initial delay {}, delay function {}{}", possible,
           duration_text(policy.interval()), duration_text(policy.delay()), go_quoted(policy.delay_function()), ceiling);
  out->add("Set the interval to at least {} to accommodate {} attempts", duration_text(needed), policy.attempts());
}

void validate_reschedule(const schema::ReschedulePolicy& policy, Findings* out) {
  if (policy.attempts() <= 0 && !policy.unlimited()) return;
  if (policy.attempts() > 10000) {
    out->add("Reschedule attempts must not be more than 10000 (got {})", policy.attempts());
    return;
  }
  if (policy.attempts() > 0) {
    out->require(policy.interval() > 0, "Interval must be a non zero value if Attempts > 0");
    if (policy.unlimited()) {
      out->add("Reschedule Policy with Attempts = {}, Interval = {}, and Unlimited = true is ambiguous", policy.attempts(),
               duration_text(policy.interval()));
    }
  }
  bool delay_valid = true;
  if (policy.delay() < 5 * kSecond) {
    out->add("Delay cannot be less than 5s (got {})", duration_text(policy.delay()));
    delay_valid = false;
  }
  static const std::set<std::string_view> kFunctions = {"constant", "exponential", "fibonacci"};
  if (!kFunctions.contains(policy.delay_function())) {
    out->add("Invalid delay function {}, must be one of [\"constant\" \"exponential\" \"fibonacci\"]",
             go_quoted(policy.delay_function()));
    delay_valid = false;
  }
  if (policy.delay_function() != "constant") {
    if (policy.max_delay() < 5 * kSecond) {
      out->add("Max Delay cannot be less than 5s (got {})", duration_text(policy.max_delay()));
      delay_valid = false;
    }
    if (policy.max_delay() < policy.delay()) {
      out->add("Max Delay cannot be less than Delay {} (got {})", duration_text(policy.delay()),
               duration_text(policy.max_delay()));
      delay_valid = false;
    }
  }
  if (!policy.unlimited()) validate_limited(policy, delay_valid, out);
}

void validate_update_block(const schema::UpdateStrategy& update, Findings* out) {
  static const std::set<std::string_view> kChecks = {"checks", "task_states", "manual"};
  if (!kChecks.contains(update.health_check())) out->add("Invalid health check given: {}", go_quoted(update.health_check()));
  if (update.max_parallel() < 0) out->add("Max parallel can not be less than zero: {} < 0", update.max_parallel());
  if (update.canary() < 0) out->add("Canary count can not be less than zero: {} < 0", update.canary());
  out->require(update.canary() != 0 || !update.auto_promote(), "Auto Promote requires a Canary count greater than zero");
  if (update.min_healthy_time() < 0) {
    out->add("Minimum healthy time may not be less than zero: {}", duration_text(update.min_healthy_time()));
  }
  if (update.healthy_deadline() <= 0) {
    out->add("Healthy deadline must be greater than zero: {}", duration_text(update.healthy_deadline()));
  }
  if (update.progress_deadline() < 0) {
    out->add("Progress deadline must be zero or greater: {}", duration_text(update.progress_deadline()));
  }
  if (update.min_healthy_time() >= update.healthy_deadline()) {
    out->add("Minimum healthy time must be less than healthy deadline: {} > {}", duration_text(update.min_healthy_time()),
             duration_text(update.healthy_deadline()));
  }
  if (update.progress_deadline() != 0 && update.healthy_deadline() >= update.progress_deadline()) {
    out->add("Healthy deadline must be less than progress deadline: {} > {}", duration_text(update.healthy_deadline()),
             duration_text(update.progress_deadline()));
  }
  if (update.stagger() <= 0) out->add("Stagger must be greater than zero: {}", duration_text(update.stagger()));
}

void validate_migrate(const schema::MigrateStrategy& migrate, Findings* out) {
  if (migrate.max_parallel() < 0) out->add("MaxParallel must be >= 0 but found {}", migrate.max_parallel());
  if (migrate.health_check() != "checks" && migrate.health_check() != "task_states") {
    out->add("Invalid HealthCheck: {}", go_quoted(migrate.health_check()));
  }
  if (migrate.min_healthy_time() < 0) {
    out->add("MinHealthyTime is {} and must be >= 0", duration_text(migrate.min_healthy_time()));
  }
  if (migrate.healthy_deadline() < 0) {
    out->add("HealthyDeadline is {} and must be >= 0", duration_text(migrate.healthy_deadline()));
  }
  out->require(migrate.min_healthy_time() <= migrate.healthy_deadline(), "MinHealthyTime must be less than HealthyDeadline");
}

void validate_disconnect(const schema::Job& job, const schema::DisconnectStrategy& disconnect, Findings* out) {
  static const std::set<std::string_view> kReconcile = {"best_score", "keep_original", "keep_replacement", "longest_running"};
  out->require(disconnect.lost_after() >= 0, "lost_after cannot be a negative duration");
  out->require(!disconnect.has_stop_on_client_after() || disconnect.stop_on_client_after() >= 0,
               "stop_on_client_after cannot be a negative duration");
  out->require(disconnect.lost_after() == 0 || !disconnect.has_stop_on_client_after() || disconnect.stop_on_client_after() == 0,
               "Disconnect cannot be configured with both lost_after and stop_on_client_after");
  out->require(!disconnect.has_stop_on_client_after() || job.type() == "service" || job.type() == "batch",
               "stop_on_client_after can only be used with service and batch jobs");
  if (!kReconcile.contains(disconnect.reconcile())) {
    out->add("reconcile strategy {} is not one of best_score, keep_original, keep_replacement, longest_running",
             go_quoted(disconnect.reconcile()));
  }
}

bool is_host_name(std::string_view name) {
  if (name.empty() || name.size() > 253) return false;
  for (const std::string_view label : split(name, '.')) {
    if (label.empty() || label.size() > 63 || label.front() == '-' || label.back() == '-') return false;
    const auto fits = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-'; };
    if (!std::ranges::all_of(label, fits)) return false;
  }
  return true;
}

bool is_label(std::string_view label) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  };
  return !label.empty() && std::ranges::all_of(label, fits);
}

struct PortsSeen {
  std::map<std::string, std::string> labels;
  std::map<int64_t, std::string> numbers;
};

void validate_port(const schema::NetworkResource& network, const schema::Port& port, const std::string& owner,
                   PortsSeen* seen, Findings* out) {
  if (!is_label(port.label())) out->add("Port label does not conform to naming requirements {}", go_quoted(port.label()));
  if (const auto [found, fresh] = seen->labels.emplace(port.label(), owner); !fresh) {
    out->add("Port label {} already in use by {}", port.label(), found->second);
  }
  if (port.value() < 0 || port.value() > kMaxPort) {
    out->add("Port {} ({}) cannot be greater than {}", port.label(), port.value(), kMaxPort);
  } else if (port.value() != 0) {
    const auto [found, fresh] = seen->numbers.emplace(port.value(), std::format("{}:{}", owner, port.label()));
    if (!fresh) out->add("Static port {} already reserved by {}", port.value(), found->second);
  }
  if (port.to() < -1) out->add("Port {} cannot be mapped to negative value {}", go_quoted(port.label()), port.to());
  if (port.to() > kMaxPort) {
    out->add("Port {} cannot be mapped to a port ({}) greater than {}", go_quoted(port.label()), port.to(), kMaxPort);
  }
  if (port.ignore_collision() && !network.mode().empty() && network.mode() != "host") {
    out->add("Port {} collision may not be ignored on non-host network mode {}", go_quoted(port.label()), go_quoted(network.mode()));
  }
}

void validate_networks(const schema::TaskGroup& group, Findings* out) {
  PortsSeen seen;
  if (group.networks_size() > 1) out->add("Only one network block is allowed in a group, found {}", group.networks_size());
  for (const auto& network : group.networks()) {
    const std::string& mode = network.mode();
    if (!mode.empty() && mode != "none" && mode != "host" && mode != "bridge" && !(mode.starts_with("cni/") && mode.size() > 4)) {
      out->add("Invalid network mode {}: expected none, host, bridge or cni/NAME", go_quoted(mode));
    }
    for (const auto* ports : {&network.reserved_ports(), &network.dynamic_ports()}) {
      for (const auto& port : *ports) validate_port(network, port, "taskgroup network", &seen, out);
    }
    if (network.hostname().empty()) continue;
    out->require(is_host_name(network.hostname()), "Hostname is not a valid DNS name");
    out->require(mode == "bridge" || mode == "none" || mode.starts_with("cni/"),
                 "Hostname may only be set with network mode none, bridge or cni");
  }
  for (const auto& task : group.tasks()) {
    for (const auto& network : task.resources().networks()) {
      for (const auto* ports : {&network.reserved_ports(), &network.dynamic_ports()}) {
        for (const auto& port : *ports) validate_port(network, port, task.name() + " task network", &seen, out);
      }
    }
  }
}

void validate_volume(const schema::VolumeRequest& volume, const schema::TaskGroup& group, Findings* out) {
  const bool csi = volume.type() == "csi";
  if (!csi && volume.type() != "host") out->add("volume has unrecognized type {}", go_quoted(volume.type()));
  out->require(!volume.source().empty(), "volume has an empty source");
  if (csi) {
    out->require(!volume.access_mode().empty(), "CSI volumes must have an access mode");
    out->require(!volume.attachment_mode().empty(), "CSI volumes must have an attachment mode");
  }
  out->require(!(volume.per_alloc() && group.update().canary() > 0), "volume cannot be per_alloc when canaries are in use");
  out->require(!(volume.sticky() && csi), "CSI volumes cannot be sticky");
}

void validate_scaling(const schema::TaskGroup& group, Findings* out) {
  if (!group.has_scaling()) return;
  const schema::ScalingPolicy& scaling = group.scaling();
  if (!scaling.has_max() || scaling.max() < 0) {
    out->add("Scaling policy invalid: maximum count must be specified and non-negative");
    return;
  }
  if (scaling.min() < 0) out->add("Scaling policy invalid: minimum count must be specified and non-negative");
  if (scaling.max() < scaling.min()) out->add("Scaling policy invalid: maximum count must not be less than minimum count");
  if (scaling.max() < group.count()) out->add("Scaling policy invalid: task group count must not be greater than maximum count in scaling policy");
  if (group.count() < scaling.min()) out->add("Scaling policy invalid: task group count must not be less than minimum count in scaling policy");
}

void validate_task_list(const schema::Job& job, const schema::TaskGroup& group, Findings* out) {
  std::map<std::string_view, int> first;
  int leaders = 0;
  int mains = 0;
  int64_t log_mb = 0;
  for (int i = 0; i < group.tasks_size(); ++i) {
    const schema::Task& task = group.tasks(i);
    if (task.name().empty()) {
      out->add("Task {} missing name", i + 1);
    } else if (const auto [found, fresh] = first.emplace(task.name(), i); !fresh) {
      out->add("Task {} redefines '{}' from task {}", i + 1, task.name(), found->second + 1);
    }
    leaders += task.leader();
    mains += !task.has_lifecycle();
    const schema::LogConfig& logs = task.log_config();
    if (!logs.disabled() && logs.max_files() > 0 && logs.max_file_size_mb() > 0) {
      const auto bounded = [](int64_t number) { return std::min(number, kLargest); };
      log_mb = bounded(log_mb + bounded(logs.max_files()) * bounded(logs.max_file_size_mb()));
    }
  }
  out->require(leaders <= 1, "Only one task may be marked as leader");
  out->require(mains > 0 || group.tasks().empty(), "Task group must have at least one main task: every task has a lifecycle hook");
  if (group.ephemeral_disk().size_mb() <= log_mb && log_mb > 0) {
    out->add("log storage ({} MB) must be less than requested disk capacity ({} MB)", log_mb, group.ephemeral_disk().size_mb());
  }
  for (const auto& task : group.tasks()) {
    Findings inner;
    validate_task(job, group, task, &inner);
    out->nest(std::format("Task {} validation failed", task.name()), inner);
  }
}

void validate_policies(const schema::Job& job, const schema::TaskGroup& group, Findings* out) {
  const bool system = job.type() == "system" || job.type() == "sysbatch";
  validate_restart(group.restart_policy(), group.name(), out);
  if (system && group.has_reschedule_policy()) out->add("System jobs should not have a reschedule policy");
  if (!system && group.has_reschedule_policy()) validate_reschedule(group.reschedule_policy(), out);
  if (group.has_update()) {
    if (job.type() != "service" && job.type() != "system") {
      out->add("Job type {} does not allow update block", go_quoted(job.type()));
    } else {
      validate_update_block(group.update(), out);
    }
  }
  if (group.has_migrate()) {
    if (job.type() != "service") {
      out->add("Job type {} does not allow migrate block", go_quoted(job.type()));
    } else {
      validate_migrate(group.migrate(), out);
    }
  }
  if (group.has_disconnect()) validate_disconnect(job, group.disconnect(), out);
  if (group.has_max_run_duration()) {
    out->require(job.type() == "batch" || job.type() == "sysbatch", "max_run_duration can only be used with batch and sysbatch jobs");
    out->require(group.max_run_duration() > 0, "max_run_duration must be greater than zero");
  }
}

}  // namespace

void validate_group(const schema::Job& job, const schema::TaskGroup& group, Findings* out) {
  out->require(!group.name().empty(), "Missing task group name");
  out->require(group.name().find('\0') == std::string::npos, "Task group name contains null character");
  out->require(group.count() >= 0, "Task group count can't be negative");
  out->require(!group.tasks().empty(), "Missing tasks for task group");
  out->require(!group.has_shutdown_delay() || group.shutdown_delay() >= 0, "ShutdownDelay must be a positive value");
  validate_constraints(group.constraints(), Level::kGroup, out);
  validate_affinities(group.affinities(), job.type() == "system", out);
  validate_spreads(group.spreads(), job.type() == "system", out);
  validate_policies(job, group, out);
  if (group.ephemeral_disk().size_mb() < 10) {
    out->add("minimum DiskMB value is 10; got {}", group.ephemeral_disk().size_mb());
  }
  if (group.ephemeral_disk().size_mb() > kLargest) {
    out->add("maximum DiskMB value is {}; got {}", kLargest, group.ephemeral_disk().size_mb());
  }
  std::map<std::string_view, const schema::VolumeRequest*> volumes;
  for (const auto& [name, volume] : group.volumes()) volumes.emplace(name, &volume);
  for (const auto& [name, volume] : volumes) {
    Findings inner;
    validate_volume(*volume, group, &inner);
    out->nest(std::format("Task group volume validation for {} failed", name), inner);
  }
  Findings networks;
  validate_networks(group, &networks);
  out->nest("Task group network validation failed", networks);
  Findings services;
  validate_services(group, nullptr, &services);
  out->nest("Task group service validation failed", services);
  validate_scaling(group, out);
  validate_task_list(job, group, out);
}

void warn_group(const schema::Job& job, const schema::TaskGroup& group, Findings* out) {
  const schema::UpdateStrategy& update = group.update();
  if (group.has_update() && job.type() == "service") {
    if (update.max_parallel() > group.count() && group.count() != 0 && update.canary() == 0) {
      out->add("Update max parallel count is greater than task group count ({} > {}). A destructive change would result in "
               "the simultaneous replacement of all allocations.", update.max_parallel(), group.count());
    }
  }
  if (group.has_max_client_disconnect()) {
    out->add("MaxClientDisconnect is ignored: use disconnect.lost_after");
  }
  if (group.has_stop_after_client_disconnect()) {
    out->add("StopAfterClientDisconnect is ignored: use disconnect.stop_on_client_after");
  }
  if (group.prevent_reschedule_on_lost()) out->add("PreventRescheduleOnLost is ignored: use disconnect.replace");
  for (const auto& network : group.networks()) {
    if (network.m_bits() > 0) {
      out->add("mbits has been deprecated as of Nomad 0.12.0. Please remove mbits from the network block");
    }
  }
  if (group.ephemeral_disk().migrate() && !group.ephemeral_disk().sticky()) {
    out->add("ephemeral_disk.migrate has no effect without ephemeral_disk.sticky");
  }
  for (const auto& task : group.tasks()) {
    Findings inner;
    if (!task.resources().networks().empty()) {
      inner.add("task network resources have been deprecated as of Nomad 0.12.0. Please configure networking via group network block.");
    }
    if (task.resources().disk_mb() > 0) inner.add("resources.disk is ignored: use the group's ephemeral_disk");
    for (const auto& item : task.templates()) {
      if (item.vault_grace() != 0) inner.add("VaultGrace has been deprecated and has no effect");
    }
    out->nest(std::format("Task {} has warnings", go_quoted(task.name())), inner);
  }
}

}  // namespace steppe::model::parts
