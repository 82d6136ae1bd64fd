#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "init/base/result.h"
#include "init/sys/kernel/fd.h"

namespace steppe::kernel {

// A mount that is attached nowhere yet: it disappears with its last descriptor unless attach() gave it a place.
// open_tree(2), fsmount(2). The descriptor also serves as a directory for openat2.
class DetachedMount {
 public:
  DetachedMount() = default;
  explicit DetachedMount(Fd fd) : fd_(std::move(fd)) {}
  int fd() const { return fd_.get(); }
  bool valid() const { return fd_.valid(); }
  Fd release() { return std::move(fd_); }

  // A second view of what `source` refers to (a directory or file, O_PATH), with everything mounted below it if
  // `recursive`. `source` must be reachable in the caller's mount namespace.
  enum class Depth : uint8_t { kOne, kRecursive };
  static Result<DetachedMount> clone(int source, std::string_view name, Depth depth);
  // A new filesystem: type "tmpfs", options {"mode","755"}, flags {"ro",""}; attributes are MOUNT_ATTR_*.
  static Result<DetachedMount> make(const std::string& type, std::initializer_list<std::pair<const char*, std::string>> options,
                                    uint64_t attributes);

  // MOUNT_ATTR_*. Also ends its part in any shared subtree (mount_namespaces(7)): a view of a host's shared mount, which most
  // are, would otherwise pass mounts on to the host and back, and cannot be pivoted into.
  Result<> set_attributes(uint64_t set, uint64_t clear, Depth depth);
  // Mounts it at `path` under `directory` (symlinks refused); an empty path is the directory itself.
  Result<> attach(int directory, std::string_view path) const;

 private:
  Fd fd_;
};

struct MountEntry {
  int id = 0, parent = 0;
  std::string device, root, target, options, type, source, super_options;
};

// /proc/<pid>/mountinfo or a copy of it (proc_pid_mountinfo(5)), octal escapes undone. Lines that do not parse are errors.
Result<std::vector<MountEntry>> parse_mountinfo(std::string_view text);
Result<std::vector<MountEntry>> read_mountinfo();

Result<> pivot_into(const Fd& new_root);  // pivot_root(".", "."), old root detached, cwd "/"
Result<> make_private();                  // the whole tree of this namespace

}  // namespace steppe::kernel
