#include "init/supervise/unmount.h"

#include <sys/mount.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "init/boot/kernel_log.h"

namespace steppe::supervise {
namespace {

constexpr int kRounds = 10;
constexpr long kPauseNs = 500'000'000;

constexpr std::array<std::string_view, 18> kKernelTypes = {"proc",  "sysfs", "devtmpfs", "devpts",   "cgroup2",  "cgroup",     "securityfs", "bpf",        "pstore",
                                                           "mqueue", "configfs", "tracefs", "debugfs", "efivarfs", "hugetlbfs", "binfmt_misc", "fusectl", "selinuxfs"};
constexpr std::array<std::string_view, 6> kNetworkTypes = {"nfs", "nfs4", "cifs", "smb3", "ceph", "9p"};

bool one_of(std::span<const std::string_view> names, std::string_view name) { return std::ranges::find(names, name) != names.end(); }

bool below(std::string_view path, std::string_view directory) {
  return path == directory || (path.starts_with(directory) && path.size() > directory.size() && path[directory.size()] == '/');
}

bool stays(const kernel::MountEntry& mount) {
  if (mount.target == "/" || one_of(kKernelTypes, mount.type)) return true;
  // Beneath /run tasks' and containers' mounts may be; /run itself and what PID 1 mounted in /dev stay.
  return mount.target == "/run" || below(mount.target, "/dev");
}

}  // namespace

std::vector<std::string> unmount_order(std::span<const kernel::MountEntry> mounts) {
  struct Place {
    size_t depth, position;
    const std::string* target;
  };
  std::vector<Place> places;
  for (size_t i = 0; i < mounts.size(); ++i) {
    if (!stays(mounts[i])) places.push_back({static_cast<size_t>(std::ranges::count(mounts[i].target, '/')), i, &mounts[i].target});
  }
  std::ranges::sort(places, [](const Place& a, const Place& b) { return a.depth != b.depth ? a.depth > b.depth : a.position > b.position; });
  std::vector<std::string> out;
  for (const Place& place : places) out.push_back(*place.target);
  return out;
}

namespace {

// What cannot be unmounted now, with the last errno.
struct Left {
  std::string target;
  int error;
};

std::vector<Left> unmount_once(size_t& gone, int flags) {
  std::vector<Left> left;
  Result<std::vector<kernel::MountEntry>> mounts = kernel::read_mountinfo();
  if (!mounts.ok()) return {{"(mountinfo cannot be read)", EIO}};
  for (const std::string& target : unmount_order(*mounts)) {
    if (::umount2(target.c_str(), flags | UMOUNT_NOFOLLOW) == 0) ++gone;
    else if (errno != EINVAL && errno != ENOENT) left.push_back({target, errno});
  }
  return left;
}

void detach_network(size_t& gone) {
  Result<std::vector<kernel::MountEntry>> mounts = kernel::read_mountinfo();
  if (!mounts.ok()) return;
  for (const kernel::MountEntry& mount : *mounts) {
    if (one_of(kNetworkTypes, mount.type) && ::umount2(mount.target.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) ++gone;
  }
}

}  // namespace

int run_unmount() {
  boot::KernelLog log;
  log.open();
  size_t gone = 0;
  std::vector<Left> left;
  for (int round = 0; round < kRounds; ++round) {
    left = unmount_once(gone, 0);
    if (left.empty()) break;
    timespec pause = {0, kPauseNs};
    ::clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, nullptr);
  }
  if (!left.empty()) {
    detach_network(gone);
    left = unmount_once(gone, 0);
  }
  for (const Left& one : left) {
    // Read-only at least: the file system is then whole on its disk.
    bool quiet = ::mount(nullptr, one.target.c_str(), nullptr, MS_REMOUNT | MS_RDONLY | MS_BIND, nullptr) == 0 &&
                 ::mount(nullptr, one.target.c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr) == 0;
    log.status("still mounted" + std::string(quiet ? ", read-only: " : ": ") + one.target + ": " + std::strerror(one.error));
  }
  log.status("unmounted " + std::to_string(gone) + " file systems, " + std::to_string(left.size()) + " left");
  return left.empty() ? 0 : 1;
}

int run_sync() {
  ::sync();
  return 0;
}

}  // namespace steppe::supervise
