#include "init/sys/kernel/mounts.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <format>

#include "init/base/text.h"
#include "init/sys/kernel/host_file.h"

namespace steppe::kernel {
namespace {

Error failed(std::string_view call, std::string_view what) { return Error::from_errno(errno, std::format("{} {}", call, what)); }

// mountinfo writes space, tab, newline and backslash as \ooo.
std::string unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    bool octal = text[i] == '\\' && i + 3 < text.size();
    for (size_t k = 1; octal && k <= 3; ++k) octal = text[i + k] >= '0' && text[i + k] <= '7';
    if (!octal) {
      out.push_back(text[i]);
      continue;
    }
    out.push_back(static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0')));
    i += 3;
  }
  return out;
}

}  // namespace

Result<DetachedMount> DetachedMount::clone(int source, std::string_view name, Depth depth) {
  unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | (depth == Depth::kRecursive ? AT_RECURSIVE : 0);
  long fd = ::syscall(SYS_open_tree, source, "", flags);
  if (fd < 0) return failed("clone the mount of", name);
  return DetachedMount(Fd(static_cast<int>(fd)));
}

Result<DetachedMount> DetachedMount::make(const std::string& type, std::initializer_list<std::pair<const char*, std::string>> options,
                                          uint64_t attributes) {
  Fd fs(static_cast<int>(::syscall(SYS_fsopen, type.c_str(), FSOPEN_CLOEXEC)));
  if (!fs) return failed("open filesystem", type);
  for (const auto& [key, value] : options) {
    const bool flag = value.empty();
    if (::syscall(SYS_fsconfig, fs.get(), flag ? FSCONFIG_SET_FLAG : FSCONFIG_SET_STRING, key, flag ? nullptr : value.c_str(), 0) != 0) {
      return failed("configure", std::format("{} with {}={}", type, key, value));
    }
  }
  if (::syscall(SYS_fsconfig, fs.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) return failed("create filesystem", type);
  long mount = ::syscall(SYS_fsmount, fs.get(), FSMOUNT_CLOEXEC, attributes);
  if (mount < 0) return failed("mount filesystem", type);
  return DetachedMount(Fd(static_cast<int>(mount)));
}

Result<> DetachedMount::set_attributes(uint64_t set, uint64_t clear, Depth depth) {
  mount_attr attr = {};
  attr.attr_set = set;
  attr.attr_clr = clear;
  attr.propagation = MS_PRIVATE;
  unsigned flags = AT_EMPTY_PATH | (depth == Depth::kRecursive ? AT_RECURSIVE : 0);
  if (::syscall(SYS_mount_setattr, fd_.get(), "", flags, &attr, sizeof attr) != 0) return failed("set attributes of", "a mount");
  return {};
}

Result<> DetachedMount::attach(int directory, std::string_view path) const {
  Fd opened;
  int target = directory;
  if (!path.empty()) {
    open_how how = {};
    how.flags = O_PATH | O_CLOEXEC | O_NOFOLLOW;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
    opened = Fd(static_cast<int>(::syscall(SYS_openat2, directory, std::string(path).c_str(), &how, sizeof how)));
    if (!opened) return failed("open mount point", path);
    target = opened.get();
  }
  if (::syscall(SYS_move_mount, fd_.get(), "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) != 0) {
    return failed("mount at", path.empty() ? "the directory" : path);
  }
  return {};
}

Result<std::vector<MountEntry>> parse_mountinfo(std::string_view text) {
  std::vector<MountEntry> out;
  for (std::string_view line : split(text, '\n')) {
    if (line.empty()) continue;
    std::vector<std::string_view> word = split(line, ' ');
    size_t dash = 6;
    while (dash < word.size() && word[dash] != "-") ++dash;
    if (dash + 3 >= word.size()) return {Code::kCorrupt, std::format("mountinfo: cannot read line \"{}\"", line)};
    auto id = parse_int(word[0]);
    auto parent = parse_int(word[1]);
    if (!id.ok() || !parent.ok()) return {Code::kCorrupt, std::format("mountinfo: cannot read line \"{}\"", line)};
    out.push_back({static_cast<int>(*id), static_cast<int>(*parent), std::string(word[2]), unescape(word[3]), unescape(word[4]),
                   std::string(word[5]), unescape(word[dash + 1]), unescape(word[dash + 2]), std::string(word[dash + 3])});
  }
  return out;
}

Result<std::vector<MountEntry>> read_mountinfo() {
  STEPPE_TRY(std::string text, read_host_file("/proc/thread-self/mountinfo", Bytes::mib(64)));
  return parse_mountinfo(text);
}

Result<> pivot_into(const Fd& new_root) {
  if (::fchdir(new_root.get()) != 0) return failed("enter", "the new root");
  if (::syscall(SYS_pivot_root, ".", ".") != 0) return failed("pivot_root into", "the new root");
  if (::umount2(".", MNT_DETACH) != 0) return failed("detach", "the old root");
  if (::chdir("/") != 0) return failed("enter", "/");
  return {};
}

Result<> make_private() {
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return failed("make private", "/");
  return {};
}

}  // namespace steppe::kernel
