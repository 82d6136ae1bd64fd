#include "drivers/isolate/writable_view.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include <cerrno>
#include <format>

#include "init/sys/kernel/file_access.h"

namespace steppe::isolate {
namespace {

using kernel::Beneath;
using kernel::DetachedMount;
using kernel::Fd;

// A layer by its descriptor: the way that works with every kernel (FSCONFIG_SET_FD came with 6.13), names nothing that
// could be swapped, and shows the task no path of the host in its mountinfo.
std::string by_descriptor(int fd) { return std::format("/proc/self/fd/{}", fd); }

// The root of a merged directory has the mode and owner of the upper one. `work` is made last: where it is, the upper one
// is as it should be, or as the task has made it since.
Result<> make_layers(const Beneath& task_dir, const std::string& layers, const kernel::FileInfo& lower) {
  STEPPE_TRY_VOID(task_dir.make_directories(layers, 0700));
  std::string upper = layers + "/upper", work = layers + "/work";
  auto made = task_dir.stat(work);
  if (made.ok() && made->type == kernel::FileType::kDirectory) return {};
  STEPPE_TRY_VOID(task_dir.make_directories(upper, 0700));
  STEPPE_TRY_VOID(task_dir.change_owner(upper, lower.uid, lower.gid));
  STEPPE_TRY_VOID(kernel::change_mode(task_dir, upper, lower.mode));
  return task_dir.make_directories(work, 0700);
}

// The kernel takes an upper layer that lies within its lower one, and calls what follows undefined.
Result<bool> lies_within(const Fd& directory, const Fd& above) {
  constexpr int kMaxDepth = 256;
  struct stat wanted, now, next;
  if (::fstat(above.get(), &wanted) != 0 || ::fstat(directory.get(), &now) != 0) return Error::from_errno(errno, "stat a layer");
  STEPPE_TRY(Fd at, directory.duplicate());
  for (int depth = 0; depth < kMaxDepth; ++depth) {
    if (now.st_dev == wanted.st_dev && now.st_ino == wanted.st_ino) return true;
    Fd parent(::openat(at.get(), "..", O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!parent || ::fstat(parent.get(), &next) != 0) return Error::from_errno(errno, "look above a layer");
    if (next.st_dev == now.st_dev && next.st_ino == now.st_ino) return false;
    at = std::move(parent);
    now = next;
  }
  return Error(Code::kInvalid, std::format("the data directory lies deeper than {} directories", kMaxDepth));
}

Error explain(const Error& error, std::string_view source, const Fd& upper) {
  if (error.sys_errno() == ENODEV) {
    return {Code::kUnsupported, "this kernel has no overlayfs (CONFIG_OVERLAY_FS, the module \"overlay\")"};
  }
  struct statfs fs;
  bool on_overlay = ::fstatfs(upper.get(), &fs) == 0 && fs.f_type == OVERLAYFS_SUPER_MAGIC;
  if (on_overlay || error.sys_errno() == EINVAL) {
    return {Code::kUnsupported,
            std::format("the file system of the data directory cannot hold a writable layer over {} ({}): put data_dir on ext4, xfs, btrfs or tmpfs",
                        source, on_overlay ? "it is an overlayfs itself" : error.message())};
  }
  return error.wrap(std::format("make a writable view of {}", source));
}

}  // namespace

std::string layers_of(std::string_view destination) {
  std::string out = std::format("{}/overlay/", kLayersParent);
  for (char c : destination) {
    if (c == '/') out += "%2F";
    else if (c == '%') out += "%25";
    else out += c;
  }
  return out;
}

Result<DetachedMount> make_writable_view(const Beneath& task_dir, const Fd& lower, std::string_view source, std::string_view destination) {
  std::string layers = layers_of(destination);
  STEPPE_TRY(kernel::FileInfo info, kernel::stat_fd(lower, source));
  STEPPE_TRY_VOID(make_layers(task_dir, layers, info).wrap(std::format("make the writable layer over {}", source)));
  STEPPE_TRY(Fd upper, task_dir.open_directory(layers + "/upper"));
  STEPPE_TRY(Fd work, task_dir.open_directory(layers + "/work"));
  STEPPE_TRY(bool inside, lies_within(upper, lower));
  if (inside) return {Code::kInvalid, std::format("the data directory lies within {}, so it cannot hold what the task changes there", source)};
  // Without an index: an earlier attempt's mount may take a moment to go, and with one the kernel would refuse the second.
  auto mount = DetachedMount::make("overlay", {{"lowerdir", by_descriptor(lower.get())}, {"upperdir", by_descriptor(upper.get())},
                                               {"workdir", by_descriptor(work.get())}, {"index", "off"}},
                                   MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
  if (!mount.ok()) return explain(mount.error(), source, upper);
  return mount;
}

}  // namespace steppe::isolate
