#include "init/sys/kernel/cgroup.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <format>

#include "init/base/text.h"
#include "init/sys/kernel/mounts.h"

namespace steppe::kernel {

Result<std::string> Cgroup::read(std::string_view file) const { return directory_.read(file, Bytes::mib(1)); }

Result<> Cgroup::write(std::string_view file, std::string_view value) const {
  STEPPE_TRY(Fd fd, directory_.open(file, O_WRONLY));
  if (::write(fd.get(), value.data(), value.size()) != static_cast<ssize_t>(value.size())) {
    return Error::from_errno(errno, std::format("write \"{}\" to {}/{}", value, directory_.name(), file));
  }
  return {};
}

Result<bool> Cgroup::has(std::string_view file) const {
  auto found = directory_.open(file, O_PATH);
  if (found.ok()) return true;
  if (found.error().code() == Code::kNotFound) return false;
  return std::move(found).error();
}

Result<Cgroup> Cgroup::make(std::string_view name) const {
  std::string leaf(name);
  if (::mkdirat(directory_.fd(), leaf.c_str(), 0755) != 0 && errno != EEXIST) {
    return Error::from_errno(errno, std::format("make cgroup {}/{}", directory_.name(), name));
  }
  return open(name);
}

Result<Cgroup> Cgroup::open(std::string_view path) const {
  STEPPE_TRY(Beneath below, directory_.sub(path));
  return Cgroup(std::move(below), path_.empty() ? std::string(path) : std::format("{}/{}", path_, path));
}

Result<> Cgroup::kill() const { return write("cgroup.kill", "1"); }

Result<bool> Cgroup::populated() const {
  STEPPE_TRY(std::string events, read("cgroup.events"));
  auto keys = parse_flat_keyed(events);
  auto it = keys.find("populated");
  return it != keys.end() && it->second != 0;
}

Result<> Cgroup::remove(std::string_view name) const {
  std::string leaf(name);
  if (::unlinkat(directory_.fd(), leaf.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return {};
  if (errno == EBUSY || errno == ENOTEMPTY) {
    // Perhaps the task made cgroups of its own below.
    auto below = open(name);
    if (below.ok()) {
      auto entries = below->directory_.list("");
      if (entries.ok()) {
        for (const DirectoryEntry& entry : *entries) {
          if (entry.type == FileType::kDirectory) (void)below->remove(entry.name);
        }
      }
    }
    if (::unlinkat(directory_.fd(), leaf.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return {};
    if (errno == EBUSY) return {Code::kUnavailable, std::format("remove cgroup {}/{}: processes are still in it", directory_.name(), name)};
  }
  return Error::from_errno(errno, std::format("remove cgroup {}/{}", directory_.name(), name));
}

Result<CgroupRoot> find_cgroup_root() {
  STEPPE_TRY(std::vector<MountEntry> mounts, read_mountinfo());
  Result<CgroupRoot> best(Code::kUnsupported, "no cgroup v2 hierarchy is mounted");
  for (const MountEntry& mount : mounts) {
    if (mount.type != "cgroup2") continue;
    auto directory = Beneath::at(mount.target);
    if (!directory.ok()) continue;
    CgroupRoot found{Cgroup(std::move(*directory), ""), mount.target, {}};
    auto controllers = found.cgroup.read("cgroup.controllers");
    if (!controllers.ok()) continue;
    for (std::string_view name : split(trim(*controllers), ' ')) {
      if (!name.empty()) found.controllers.emplace(name);
    }
    if (!best.ok() || found.controllers.size() > best->controllers.size()) best = std::move(found);
  }
  return best;
}

std::map<std::string, uint64_t, std::less<>> parse_flat_keyed(std::string_view text) {
  std::map<std::string, uint64_t, std::less<>> out;
  for (std::string_view line : split(text, '\n')) {
    size_t space = line.find(' ');
    if (space == std::string_view::npos) continue;
    if (auto value = parse_uint(line.substr(space + 1)); value.ok()) out.emplace(line.substr(0, space), *value);
  }
  return out;
}

}  // namespace steppe::kernel
