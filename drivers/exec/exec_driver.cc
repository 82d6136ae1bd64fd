#include "drivers/exec/exec_driver.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <unistd.h>

#include <format>
#include <mutex>
#include <optional>
#include <utility>

#include "drivers/isolate/account.h"
#include "drivers/isolate/system_filter.h"
#include "drivers/isolate/task_root.h"
#include "init/base/text.h"
#include "init/sys/kernel/host_file.h"

namespace steppe::exec {
namespace {

using drivers::ConfigMap;
using drivers::TaskConfig;
using isolate::Op;

struct Config {
  std::string command, work_dir, pid_mode, ipc_mode;
  std::vector<std::string> args, cap_add, cap_drop;
  bool writable_root = false;
};

Result<Config> parse_config(const ConfigMap& map, const Options& options) {
  drivers::ConfigReader read(map, "exec");
  Config out;
  out.command = read.required_text("command");
  out.args = read.text_list("args");
  out.work_dir = read.text("work_dir");
  out.pid_mode = read.choice("pid_mode", {"private", "host"}, options.default_pid_mode);
  out.ipc_mode = read.choice("ipc_mode", {"private", "host"}, options.default_ipc_mode);
  out.cap_add = read.text_list("cap_add");
  out.cap_drop = read.text_list("cap_drop");
  out.writable_root = read.boolean("writable_root", false);
  if (!out.work_dir.empty() && !out.work_dir.starts_with('/')) read.reject("work_dir", "must be an absolute path inside the task");
  STEPPE_TRY_VOID(read.finish());
  return out;
}

Result<kernel::CapabilitySet> allowed_capabilities(const Options& options) {
  if (options.allow_caps.empty()) return isolate::default_capabilities();
  kernel::CapabilitySet out = 0;
  for (const std::string& name : options.allow_caps) {
    STEPPE_TRY(kernel::CapabilitySet bits, kernel::capability_from_name(name).wrap("allow_caps"));
    out |= bits;
  }
  return out;
}

class ExecDriver : public drivers::Driver {
 public:
  ExecDriver(std::shared_ptr<const executor::Host> host, Options options) : host_(std::move(host)), options_(std::move(options)) {
    auto allowed = allowed_capabilities(options_);
    if (allowed.ok()) allowed_ = *allowed;
    else unhealthy_ = allowed.error().message();
    if (::geteuid() != 0) unhealthy_ = "needs root";
    if (!unhealthy_.empty()) return;
    const bool usual = options_.chroot_env.empty() && options_.task_root.empty();
    const isolate::RootSources sources{usual ? isolate::default_chroot_env() : options_.chroot_env, options_.task_root};
    for (const auto& [source, destination] : sources.chroot_env) {
      if (destination != "/etc") continue;
      auto etc = kernel::Beneath::at(source, kernel::Beneath::Links::kFollow);
      if (etc.ok()) etc_ = std::move(*etc);
      else if (etc.error().code() != Code::kNotFound) unhealthy_ = etc.error().message();
    }
    if (!unhealthy_.empty()) return;
    auto base = isolate::TemplateRoot::build(sources);
    if (base.ok()) base_ = std::move(*base);
    else unhealthy_ = base.error().message();
    if (base_ && !etc_ && base_->image_etc().valid()) {
      auto etc = base_->image_etc().duplicate();
      if (etc.ok()) etc_.emplace(std::move(*etc), "/etc", kernel::Beneath::Links::kFollow);
    }
    if (base_) open_standby();
    // The task is born with the agent's value, which a service manager may have lowered.
    auto adjust = kernel::read_host_file("/proc/self/oom_score_adj");
    reset_oom_score_ = adjust.ok() && trim(*adjust) != "0";
  }

  std::string_view name() const override { return "exec"; }

  drivers::Capabilities capabilities() const override {
    drivers::Capabilities out;
    out.isolation = drivers::Isolation::kChroot;
    out.mounts = out.devices = out.network_namespace = true;
    out.enforces_resources = host_->limits_missing().empty();
    return out;
  }

  drivers::Fingerprint fingerprint() override {
    drivers::Fingerprint out;
    if (!base_) {
      out.description = unhealthy_;
      return out;
    }
    out.health = drivers::Health::kHealthy;
    out.description = host_->limits_missing().empty() ? "Healthy" : std::format("Healthy, but {}", host_->limits_missing());
    out.attributes["driver.exec"] = "1";
    out.attributes["driver.exec.limits"] = host_->limits_missing().empty() ? "1" : "0";
    return out;
  }

  Result<> validate(const ConfigMap& config) const override {
    STEPPE_TRY(Config parsed, parse_config(config, options_));
    auto caps = isolate::task_capabilities(allowed_, parsed.cap_add, parsed.cap_drop);
    return caps.ok() ? Result<>() : Result<>(std::move(caps).error().wrap("driver exec"));
  }

  Result<> prepare() override { return standby_ ? standby_->refill() : Result<>(); }

  Result<std::unique_ptr<drivers::Task>> start(TaskConfig config) override {
    if (!base_) return {Code::kUnsupported, std::format("driver exec: {}", unhealthy_)};
    STEPPE_TRY(Config parsed, parse_config(config.config, options_));
    executor::Launch launch;
    launch.driver = "exec";
    launch.config = &config;
    launch.limit_resources = !options_.mutations.no_cgroup_limits;
    launch.oom_group = !options_.mutations.no_oom_group;
    STEPPE_TRY(isolate::Identity identity, identify(config, parsed));
    STEPPE_TRY(std::vector<sock_filter> filter, filter_for(identity.bounding));
    if (!options_.mutations.no_seccomp) identity.filter = filter;
    STEPPE_TRY(uint64_t namespaces, compose(launch, config, parsed, identity));
    remember(launch, identity, namespaces);
    return executor::start(host_, std::move(launch));
  }

  Result<std::unique_ptr<drivers::Task>> recover(const drivers::TaskHandle& handle) override { return executor::recover(host_, name(), handle); }
  Result<std::unique_ptr<drivers::Task>> recover_attempt(std::string_view id) override { return executor::recover_attempt(host_, name(), id); }
  Result<std::vector<std::string>> attempts() override { return executor::attempts(*host_); }

 private:
  // For tasks as most are: the driver's default modes and capabilities.
  void open_standby() {
    if (host_->cgroup_parent() == nullptr || options_.mutations.no_namespaces || options_.mutations.no_pivot) return;
    executor::Preparation usual;
    usual.mount_namespace = base_->namespace_fd();
    usual.namespaces = CLONE_NEWNS | CLONE_NEWUTS | (options_.default_pid_mode == "private" ? CLONE_NEWPID : 0) |
                       (options_.default_ipc_mode == "private" ? CLONE_NEWIPC : 0);
    usual.bounding = isolate::default_capabilities() & allowed_;
    usual.stage = true;
    standby_.emplace(host_->program(), host_->dev_null(), usual);
  }

  Result<isolate::Identity> identify(const TaskConfig& config, const Config& parsed) {
    isolate::Identity out;
    std::string_view user = config.user.empty() ? std::string_view("nobody") : config.user;
    // The /etc that the task will see: what chroot_env puts there, else the task directory's own.
    if (etc_) {
      STEPPE_TRY(out.account, accounts_.resolve(*etc_, user));
    } else {
      STEPPE_TRY(kernel::Fd fd, config.task_dir.duplicate());
      STEPPE_TRY(out.account, isolate::resolve_account(kernel::Beneath(std::move(fd), "/etc", kernel::Beneath::Links::kFollow), user));
    }
    STEPPE_TRY(bool uid_denied, isolate::id_is_listed(options_.denied_host_uids, out.account.uid));
    STEPPE_TRY(bool gid_denied, isolate::id_is_listed(options_.denied_host_gids, out.account.gid));
    if (uid_denied || gid_denied) return {Code::kDenied, std::format("running as user \"{}\" is denied on this node", config.user)};
    STEPPE_TRY(out.bounding, isolate::task_capabilities(allowed_, parsed.cap_add, parsed.cap_drop));
    for (const std::string& name : parsed.cap_add) {
      STEPPE_TRY(kernel::CapabilitySet bits, kernel::capability_from_name(name));
      out.ambient |= bits & out.bounding;
    }
    if (out.account.uid == 0) out.ambient = 0;
    out.rlimits = config.rlimits;
    out.work_dir = parsed.work_dir;
    return out;
  }

  // One program for each set of capabilities that occurs, built once.
  Result<std::vector<sock_filter>> filter_for(kernel::CapabilitySet bounding) {
    std::lock_guard lock(filters_mutex_);
    auto it = filters_.find(bounding);
    if (it != filters_.end()) return it->second;
    STEPPE_TRY(std::vector<sock_filter> filter, isolate::build_system_filter(bounding));
    if (filters_.size() >= 64) filters_.clear();
    return filters_.emplace(bounding, std::move(filter)).first->second;
  }

  // Returns the namespaces that the task has of its own.
  Result<uint64_t> compose(executor::Launch& launch, const TaskConfig& config, const Config& parsed, const isolate::Identity& identity) {
    isolate::PlanBuilder& plan = launch.plan;
    const isolate::Mutations& mutations = options_.mutations;
    bool cgroup = host_->cgroup_parent() != nullptr;
    bool private_pid = parsed.pid_mode == "private" && !mutations.no_namespaces;
    bool private_ipc = parsed.ipc_mode == "private" && !mutations.no_namespaces;
    plan.head.clone_flags = CLONE_NEWNS | (mutations.no_namespaces ? 0 : CLONE_NEWUTS) | (private_pid ? CLONE_NEWPID : 0) |
                            (private_ipc ? CLONE_NEWIPC : 0);
    uint64_t namespaces = plan.head.clone_flags;
    plan.head.kill_mode = cgroup ? isolate::KillMode::kCgroup : private_pid ? isolate::KillMode::kPidNamespace : isolate::KillMode::kDescendants;
    plan.step(Op::kParentDeathSignal, "tie the task to its executor").a = SIGKILL;
    plan.step(Op::kSetsid, "make a session");
    if (config.network_namespace) {
      plan.inherit(config.network_namespace->get());
      isolate::Step& enter = plan.step(Op::kSetNamespace, "enter the network namespace");
      enter.fd = config.network_namespace->get();
      enter.a = CLONE_NEWNET;
    }
    if (cgroup && !mutations.no_namespaces) plan.step(Op::kUnshare, "make a cgroup namespace").a = CLONE_NEWCGROUP;
    if (!mutations.no_pivot) {
      launch.preparation = prepare(plan.head, identity.bounding);
      if (standby_) launch.standby = &*standby_;
      isolate::RootRequest request{&config, &*base_, cgroup && host_->limits_missing().empty(), private_pid, private_ipc,
                                   launch.preparation->stage, parsed.writable_root, mutations};
      STEPPE_TRY_VOID(isolate::add_root(plan, request, launch.keep));
    }
    if (reset_oom_score_) {
      uint32_t path = plan.text("/proc/self/oom_score_adj"), zero = plan.text("0");
      isolate::Step& write = plan.step(Op::kWriteFile, "reset oom_score_adj");
      write.text = path;
      write.text2 = zero;
    }
    isolate::add_identity(plan, identity);
    plan.step(Op::kExec, std::format("execute {}", parsed.command));
    std::vector<std::string> candidates = isolate::command_candidates(parsed.command, config.env);
    if (!parsed.command.starts_with('/')) {
      candidates.insert(candidates.begin(), {std::format("/local/{}", parsed.command), std::format("/{}", parsed.command)});
    }
    std::vector<std::string> argv = parsed.args;
    argv.insert(argv.begin(), parsed.command);
    plan.command(candidates, argv, config.env);
    return namespaces;
  }

  // The task's namespaces are its executor's too: made before the task is known, and taken down (the mounts after a
  // grace period of RCU) when the executor goes, after the exit was told, not between the task's end and its executor
  // hearing of it. An executor that finds descendants by path, in /proc, must not see the task's.
  executor::Preparation prepare(isolate::PlanHead& head, kernel::CapabilitySet bounding) const {
    executor::Preparation out;
    out.mount_namespace = base_->namespace_fd();
    out.bounding = bounding;
    if (head.kill_mode != isolate::KillMode::kDescendants) {
      out.namespaces = std::exchange(head.clone_flags, 0);
      out.stage = true;
    }
    return out;
  }

  void remember(executor::Launch& launch, const isolate::Identity& identity, uint64_t namespaces) const {
    executor::Profile& profile = launch.profile;
    profile.isolated = true;
    profile.change_identity = true;
    profile.namespaces = namespaces;
    if (host_->cgroup_parent() != nullptr && !options_.mutations.no_namespaces) profile.namespaces |= CLONE_NEWCGROUP;
    if (launch.config->network_namespace) profile.namespaces |= CLONE_NEWNET;
    profile.uid = identity.account.uid;
    profile.gid = identity.account.gid;
    profile.groups = identity.account.groups;
    profile.bounding = identity.bounding;
    profile.ambient = identity.ambient;
    profile.filter = !identity.filter.empty();
    profile.no_new_privileges = identity.no_new_privileges;
    profile.work_dir = identity.work_dir.empty() ? "/" : identity.work_dir;
  }

  std::shared_ptr<const executor::Host> host_;
  Options options_;
  kernel::CapabilitySet allowed_ = 0;
  std::optional<isolate::TemplateRoot> base_;
  std::optional<executor::StandbySlot> standby_;
  std::optional<kernel::Beneath> etc_;
  isolate::AccountCache accounts_;
  std::string unhealthy_;
  bool reset_oom_score_ = false;
  std::mutex filters_mutex_;
  std::map<kernel::CapabilitySet, std::vector<sock_filter>> filters_;
};

}  // namespace

Result<Options> Options::parse(const ConfigMap& config) {
  drivers::ConfigReader read(config, "exec plugin");
  Options out;
  out.default_pid_mode = read.choice("default_pid_mode", {"private", "host"}, "private");
  out.default_ipc_mode = read.choice("default_ipc_mode", {"private", "host"}, "private");
  out.allow_caps = read.text_list("allow_caps");
  out.denied_host_uids = read.text("denied_host_uids");
  out.denied_host_gids = read.text("denied_host_gids");
  out.task_root = read.text("task_root");
  if (!out.task_root.empty() && !out.task_root.starts_with('/')) read.reject("task_root", "must be the absolute path of a squashfs or erofs image");
  if (read.boolean("no_pivot_root", false)) read.reject("no_pivot_root", "is not offered: a chroot can be left (mount the root with pivot_root instead)");
  STEPPE_TRY_VOID(read.finish());
  auto allowed = allowed_capabilities(out);
  if (!allowed.ok()) return std::move(allowed).error();
  return out;
}

std::unique_ptr<drivers::Driver> make_driver(std::shared_ptr<const executor::Host> host, Options options) {
  return std::make_unique<ExecDriver>(std::move(host), std::move(options));
}

}  // namespace steppe::exec
