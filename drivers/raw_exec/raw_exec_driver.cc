#include "drivers/raw_exec/raw_exec_driver.h"

#include <signal.h>

#include <algorithm>
#include <format>

#include "drivers/isolate/account.h"
#include "drivers/isolate/identity.h"
#include "init/base/text.h"

namespace steppe::raw_exec {
namespace {

using drivers::ConfigMap;
using drivers::TaskConfig;
using isolate::Op;

struct Config {
  std::string command, work_dir;
  std::vector<std::string> args, denied_envvars;
  int64_t oom_score_adj = 0;
  std::string cgroup_override;
};

Result<Config> parse_config(const ConfigMap& map) {
  drivers::ConfigReader read(map, "raw_exec");
  Config out;
  out.command = read.required_text("command");
  out.args = read.text_list("args");
  out.work_dir = read.text("work_dir");
  out.denied_envvars = read.text_list("denied_envvars");
  out.oom_score_adj = read.integer("oom_score_adj", 0, 0, 1000);
  out.cgroup_override = read.text("cgroup_v2_override");
  read.ignore("cgroup_v1_override");
  STEPPE_TRY_VOID(read.finish());
  return out;
}

bool env_denied(std::string_view entry, const std::vector<std::string>& patterns) {
  std::string_view name = entry.substr(0, entry.find('='));
  return std::ranges::any_of(patterns, [&](const std::string& pattern) { return glob_match(pattern, name); });
}

class RawExecDriver : public drivers::Driver {
 public:
  RawExecDriver(std::shared_ptr<const executor::Host> host, Options options) : host_(std::move(host)), options_(std::move(options)) {}

  std::string_view name() const override { return "raw_exec"; }

  drivers::Capabilities capabilities() const override {
    drivers::Capabilities out;
    out.network_namespace = true;
    out.enforces_resources = false;
    return out;
  }

  drivers::Fingerprint fingerprint() override {
    drivers::Fingerprint out;
    if (!options_.enabled) {
      out.description = "disabled: the plugin \"raw_exec\" block does not say enabled = true";
      return out;
    }
    out.health = drivers::Health::kHealthy;
    out.description = "Healthy";
    out.attributes["driver.raw_exec"] = "1";
    return out;
  }

  Result<> validate(const ConfigMap& config) const override {
    auto parsed = parse_config(config);
    return parsed.ok() ? Result<>() : Result<>(std::move(parsed).error());
  }

  Result<std::unique_ptr<drivers::Task>> start(TaskConfig config) override {
    if (!options_.enabled) return {Code::kDenied, "driver raw_exec is disabled on this node"};
    STEPPE_TRY(Config parsed, parse_config(config.config));
    executor::Launch launch;
    launch.driver = "raw_exec";
    launch.config = &config;
    launch.limit_resources = false;
    launch.plan.head.kill_mode = host_->cgroup_parent() != nullptr ? isolate::KillMode::kCgroup : isolate::KillMode::kDescendants;
    STEPPE_TRY_VOID(compose(launch, config, parsed));
    if (!parsed.cgroup_override.empty()) launch.warnings.push_back("cgroup_v2_override is not supported: the task has a cgroup of its own");
    return executor::start(host_, std::move(launch));
  }

  Result<std::unique_ptr<drivers::Task>> recover(const drivers::TaskHandle& handle) override { return executor::recover(host_, name(), handle); }
  Result<std::unique_ptr<drivers::Task>> recover_attempt(std::string_view id) override { return executor::recover_attempt(host_, name(), id); }
  Result<std::vector<std::string>> attempts() override { return executor::attempts(*host_); }

 private:
  Result<> compose(executor::Launch& launch, const TaskConfig& config, const Config& parsed) const {
    isolate::PlanBuilder& plan = launch.plan;
    plan.step(Op::kParentDeathSignal, "tie the task to its executor").a = SIGKILL;
    plan.step(Op::kSetsid, "make a session");
    if (config.network_namespace) {
      plan.inherit(config.network_namespace->get());
      isolate::Step& enter = plan.step(Op::kSetNamespace, "enter the network namespace");
      enter.fd = config.network_namespace->get();
      enter.a = 0x40000000;  // CLONE_NEWNET
    }
    if (parsed.oom_score_adj != 0) {
      uint32_t path = plan.text("/proc/self/oom_score_adj"), value = plan.text(std::to_string(parsed.oom_score_adj));
      isolate::Step& write = plan.step(Op::kWriteFile, "set oom_score_adj");
      write.text = path;
      write.text2 = value;
    }
    for (const drivers::RlimitSetting& limit : config.rlimits) {
      isolate::Step& s = plan.step(Op::kRlimit, std::format("set resource limit {}", limit.resource));
      s.a = static_cast<uint64_t>(limit.resource);
      s.b = limit.soft;
      s.c = limit.hard;
    }
    STEPPE_TRY_VOID(become_user(launch, config));
    std::string directory = parsed.work_dir.empty() ? config.task_dir_path : parsed.work_dir;
    uint32_t path = plan.text(directory);
    plan.step(Op::kChdir, std::format("enter {}", directory)).text = path;
    launch.profile.work_dir = directory;
    plan.step(Op::kUmask, "set the umask").a = 022;
    plan.step(Op::kExec, std::format("execute {}", parsed.command));
    set_command(plan, config, parsed);
    return {};
  }

  Result<> become_user(executor::Launch& launch, const TaskConfig& config) const {
    if (config.user.empty()) return {};
    STEPPE_TRY(kernel::Beneath etc, kernel::Beneath::at("/etc", kernel::Beneath::Links::kFollow));
    STEPPE_TRY(isolate::Account account, isolate::resolve_account(etc, config.user));
    STEPPE_TRY(bool uid_denied, isolate::id_is_listed(options_.denied_host_uids, account.uid));
    STEPPE_TRY(bool gid_denied, isolate::id_is_listed(options_.denied_host_gids, account.gid));
    if (uid_denied || gid_denied) return {Code::kDenied, std::format("running as user \"{}\" is denied on this node", config.user)};
    isolate::PlanBuilder& plan = launch.plan;
    uint32_t groups = plan.array(std::as_bytes(std::span(account.groups)));
    isolate::Step& set_groups = plan.step(Op::kGroups, "set groups");
    set_groups.a = account.groups.size();
    set_groups.b = groups;
    plan.step(Op::kSetGid, std::format("become group {}", account.gid)).a = account.gid;
    plan.step(Op::kSetUid, std::format("become user {}", account.uid)).a = account.uid;
    plan.step(Op::kParentDeathSignal, "tie the task to its executor").a = SIGKILL;
    executor::Profile& profile = launch.profile;
    profile.change_identity = account.uid != 0;
    profile.uid = account.uid;
    profile.gid = account.gid;
    profile.groups = account.groups;
    profile.bounding = ~0ull;
    return {};
  }

  // A bare name is looked for in the task's directories first, as Nomad does.
  void set_command(isolate::PlanBuilder& plan, const TaskConfig& config, const Config& parsed) const {
    std::vector<std::string> denied = options_.denied_envvars;
    denied.insert(denied.end(), parsed.denied_envvars.begin(), parsed.denied_envvars.end());
    std::vector<std::string> env;
    for (const std::string& entry : config.env) {
      if (!env_denied(entry, denied)) env.push_back(entry);
    }
    std::vector<std::string> candidates = isolate::command_candidates(parsed.command, env);
    if (!parsed.command.starts_with('/')) {
      candidates.insert(candidates.begin(), {std::format("{}/local/{}", config.task_dir_path, parsed.command),
                                             std::format("{}/{}", config.task_dir_path, parsed.command)});
    }
    std::vector<std::string> argv = parsed.args;
    argv.insert(argv.begin(), parsed.command);
    plan.command(candidates, argv, env);
  }

  std::shared_ptr<const executor::Host> host_;
  Options options_;
};

}  // namespace

Result<Options> Options::parse(const ConfigMap& config) {
  drivers::ConfigReader read(config, "raw_exec plugin");
  Options out;
  out.enabled = read.boolean("enabled", false);
  out.denied_host_uids = read.text("denied_host_uids");
  out.denied_host_gids = read.text("denied_host_gids");
  out.denied_envvars = read.text_list("denied_envvars");
  read.ignore("no_cgroups");
  STEPPE_TRY_VOID(read.finish());
  return out;
}

std::unique_ptr<drivers::Driver> make_driver(std::shared_ptr<const executor::Host> host, Options options) {
  return std::make_unique<RawExecDriver>(std::move(host), std::move(options));
}

}  // namespace steppe::raw_exec
