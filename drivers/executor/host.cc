#include "drivers/executor/host.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <format>

#include "init/base/text.h"
#include "init/frame/frame.h"
#include "init/sys/kernel/host_file.h"

namespace steppe::executor {
namespace {

// A page in the run directory; version 1.
constexpr uint16_t kProfileType = frame::kTaskProfile;
enum ProfileTag : uint16_t { kIsolated = 1, kNamespaces, kUid, kGid, kGroups, kBounding, kAmbient, kFilter, kNoNewPrivileges, kChangeIdentity, kWorkDir };

Result<> make_run_dir(const std::string& path) {
  std::string done;
  for (std::string_view part : split(path, '/')) {
    done += part;
    if (!done.empty() && ::mkdir(done.c_str(), 0711) != 0 && errno != EEXIST) return Error::from_errno(errno, std::format("make directory {}", done));
    done += '/';
  }
  if (::chmod(path.c_str(), 0700) != 0) return Error::from_errno(errno, std::format("set the mode of {}", path));
  return {};
}

}  // namespace

Result<std::shared_ptr<const Host>> Host::open(HostOptions options, const Clock& clock) {
  std::shared_ptr<Host> host(new Host(std::move(options), clock));
  STEPPE_TRY_VOID(make_run_dir(host->options_.run_dir));
  STEPPE_TRY(host->run_dir_, kernel::Beneath::at(host->options_.run_dir));
  STEPPE_TRY(std::string program, kernel::read_host_file(host->options_.program, Bytes::mib(16)).wrap("the executor program"));
  STEPPE_TRY(host->program_, kernel::sealed_memfd("steppe-executor", as_bytes(program), kernel::Executable::kYes));
  STEPPE_TRY(host->dev_null_, kernel::open_host("/dev/null", O_RDWR));
  STEPPE_TRY(std::string boot, kernel::read_host_file("/proc/sys/kernel/random/boot_id"));
  host->boot_id_ = trim(boot);
  host->open_cgroups();
  return std::shared_ptr<const Host>(std::move(host));
}

// Enables what can be enabled at each level on the way down; what cannot is left out and named.
void Host::open_cgroups() {
  static constexpr std::string_view kWanted[] = {"cpu", "cpuset", "memory", "pids", "io"};
  auto root = options_.cgroup_parent.empty() ? Result<kernel::CgroupRoot>(Code::kUnsupported, "cgroups are turned off")
                                             : kernel::find_cgroup_root();
  if (!root.ok()) {
    limits_missing_ = std::format("{}: tasks run without limits", root.error().message());
    return;
  }
  kernel::Cgroup at = std::move(root->cgroup);
  for (std::string_view part : split(options_.cgroup_parent, '/')) {
    if (part.empty()) continue;
    for (std::string_view controller : kWanted) {
      if (root->controllers.contains(controller)) (void)at.write("cgroup.subtree_control", std::format("+{}", controller));
    }
    auto below = at.make(part);
    if (!below.ok()) {
      limits_missing_ = std::format("{}: tasks run without limits", below.error().message());
      return;
    }
    at = std::move(*below);
  }
  auto kill = at.has("cgroup.kill");
  if (!kill.ok() || !*kill) {
    limits_missing_ = "the kernel's cgroup v2 has no cgroup.kill (before Linux 5.14): tasks run without limits";
    return;
  }
  for (std::string_view controller : kWanted) (void)at.write("cgroup.subtree_control", std::format("+{}", controller));
  auto enabled = at.read("cgroup.subtree_control");
  for (std::string_view name : split(trim(enabled.ok() ? *enabled : ""), ' ')) {
    if (!name.empty()) controllers_.emplace(name);
  }
  std::vector<std::string> missing;
  for (std::string_view controller : kWanted) {
    if (!controllers_.contains(controller)) missing.emplace_back(controller);
  }
  if (!missing.empty()) {
    limits_missing_ = std::format("controllers not on cgroup v2 here: {}; tasks run without their limits", join(missing, ", "));
  }
  cgroup_parent_ = std::move(at);
}

std::string Profile::encode() const {
  frame::Builder out(kProfileType, 1);
  out.integer(kIsolated, isolated).integer(kNamespaces, static_cast<int64_t>(namespaces)).integer(kUid, uid).integer(kGid, gid);
  out.bytes(kGroups, std::as_bytes(std::span(groups)));
  out.integer(kBounding, static_cast<int64_t>(bounding)).integer(kAmbient, static_cast<int64_t>(ambient));
  out.integer(kFilter, filter).integer(kNoNewPrivileges, no_new_privileges).integer(kChangeIdentity, change_identity);
  out.text(kWorkDir, work_dir);
  return out.finish();
}

Result<Profile> Profile::decode(ByteView bytes) {
  STEPPE_TRY(frame::Message in, frame::decode(bytes, kProfileType, 1));
  Profile out;
  out.isolated = in.integer(kIsolated) != 0;
  out.namespaces = static_cast<uint64_t>(in.integer(kNamespaces));
  out.uid = static_cast<uint32_t>(in.integer(kUid, 65534));
  out.gid = static_cast<uint32_t>(in.integer(kGid, 65534));
  ByteView groups = in.bytes(kGroups);
  for (size_t at = 0; at + 4 <= groups.size(); at += 4) out.groups.push_back(load_le<uint32_t>(groups.data() + at));
  out.bounding = static_cast<uint64_t>(in.integer(kBounding));
  out.ambient = static_cast<uint64_t>(in.integer(kAmbient));
  // What a damaged or older record does not say is the safe choice.
  out.filter = in.integer(kFilter, 1) != 0;
  out.no_new_privileges = in.integer(kNoNewPrivileges, 1) != 0;
  out.change_identity = in.integer(kChangeIdentity, 1) != 0;
  out.work_dir = in.text(kWorkDir);
  return out;
}

}  // namespace steppe::executor
