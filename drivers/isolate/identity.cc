#include "drivers/isolate/identity.h"

#include <signal.h>

#include <algorithm>
#include <format>

#include "init/base/text.h"

namespace steppe::isolate {

kernel::CapabilitySet default_capabilities() {
  static const kernel::CapabilitySet set = [] {
    kernel::CapabilitySet out = 0;
    for (const char* name : {"audit_write", "chown", "dac_override", "fowner", "fsetid", "kill", "mknod", "net_bind_service",
                             "setfcap", "setgid", "setpcap", "setuid", "sys_chroot"}) {
      out |= *kernel::capability_from_name(name);
    }
    return out;
  }();
  return set;
}

Result<kernel::CapabilitySet> task_capabilities(kernel::CapabilitySet allowed, const std::vector<std::string>& add,
                                                const std::vector<std::string>& drop) {
  kernel::CapabilitySet set = default_capabilities() & allowed;
  // "all" in cap_drop with names in cap_add means "only those", so what is dropped goes first.
  for (const std::string& name : drop) {
    STEPPE_TRY(kernel::CapabilitySet bits, kernel::capability_from_name(name));
    set &= ~bits;
  }
  for (const std::string& name : add) {
    STEPPE_TRY(kernel::CapabilitySet bits, kernel::capability_from_name(name));
    if (lower(name) == "all") bits &= allowed;
    if ((bits & ~allowed) != 0) {
      return {Code::kDenied, std::format("cap_add \"{}\": not among the driver's allow_caps", name)};
    }
    set |= bits;
  }
  return set;
}

void add_identity(PlanBuilder& plan, const Identity& identity) {
  for (const drivers::RlimitSetting& limit : identity.rlimits) {
    Step& s = plan.step(Op::kRlimit, std::format("set resource limit {}", limit.resource));
    s.a = static_cast<uint64_t>(limit.resource);
    s.b = limit.soft;
    s.c = limit.hard;
  }
  plan.step(Op::kSessionKeyring, "make a session keyring");
  plan.step(Op::kDropBounding, "drop capabilities").a = identity.bounding;
  plan.step(Op::kAmbientClear, "clear ambient capabilities");
  bool root = identity.account.uid == 0;
  bool keep = !root && identity.ambient != 0;
  if (keep) plan.step(Op::kKeepCaps, "keep capabilities").a = 1;
  uint32_t groups = plan.array(std::as_bytes(std::span(identity.account.groups)));
  Step& set_groups = plan.step(Op::kGroups, "set groups");
  set_groups.a = identity.account.groups.size();
  set_groups.b = groups;
  plan.step(Op::kSetGid, std::format("become group {}", identity.account.gid)).a = identity.account.gid;
  plan.step(Op::kSetUid, std::format("become user {}", identity.account.uid)).a = identity.account.uid;
  plan.step(Op::kParentDeathSignal, "tie the task to its executor").a = SIGKILL;
  Step& capset = plan.step(Op::kCapset, "set capabilities");
  capset.a = root ? identity.bounding : identity.ambient;
  capset.b = keep ? identity.ambient : 0;
  if (keep) plan.step(Op::kAmbientRaise, "raise ambient capabilities").a = identity.ambient;
  plan.step(Op::kUmask, "set the umask").a = 022;
  if (!identity.work_dir.empty()) {
    uint32_t path = plan.text(identity.work_dir);
    plan.step(Op::kChdir, std::format("enter work_dir {}", identity.work_dir)).text = path;
  }
  if (identity.no_new_privileges) plan.step(Op::kNoNewPrivs, "give up new privileges");
  if (!identity.filter.empty()) {
    uint32_t program = plan.array(std::as_bytes(identity.filter));
    Step& s = plan.step(Op::kSeccomp, "load the system call filter");
    s.a = identity.filter.size();
    s.b = program;
  }
}

std::vector<std::string> command_candidates(const std::string& command, const std::vector<std::string>& env) {
  if (command.find('/') != std::string::npos) return {command};
  std::string_view path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  for (const std::string& entry : env) {
    if (entry.starts_with("PATH=") && entry.size() > 5) path = std::string_view(entry).substr(5);
  }
  std::vector<std::string> out;
  for (std::string_view directory : split(path, ':')) {
    if (out.size() < 64) out.push_back(directory.empty() ? command : std::format("{}/{}", directory, command));
  }
  return out;
}

}  // namespace steppe::isolate
