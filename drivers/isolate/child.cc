#include "drivers/isolate/child.h"

// Kernel headers only: this file is also part of a program without libc.
#include <asm/ioctls.h>
#include <linux/capability.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <initializer_list>

namespace steppe::isolate {
namespace {

using kernel::raw::pointer;
using kernel::raw::syscall;

constexpr long kDetach = 2;  // MNT_DETACH

bool in_bounds(const PlanHead& head, uint64_t offset, uint64_t count, size_t item) {
  return offset >= sizeof(PlanHead) && offset <= head.size && count <= (head.size - offset) / item;
}

bool is_text(const char* base, const PlanHead& head, uint32_t offset) {
  if (offset == 0) return true;
  if (offset < sizeof(PlanHead)) return false;
  for (uint32_t i = offset; i < head.size; ++i) {
    if (base[i] == '\0') return true;
  }
  return false;
}

// Turns a list of offsets into pointers, in the caller's private copy of the block.
bool relocate(char* base, const PlanHead& head, uint32_t list) {
  if (list % sizeof(uint64_t) != 0) return false;
  for (uint32_t at = list; in_bounds(head, at, 1, sizeof(uint64_t)); at += sizeof(uint64_t)) {
    auto* slot = reinterpret_cast<uint64_t*>(base + at);
    if (*slot == 0) return true;
    if (*slot >= head.size) return false;
    *slot = static_cast<uint64_t>(pointer(base + *slot));
  }
  return false;
}

// A relocated list still ends within the block and leads to texts of it, whatever else was relocated since.
bool list_fine(const char* base, const PlanHead& head, uint32_t list) {
  auto start = static_cast<uint64_t>(pointer(base));
  for (uint32_t at = list; in_bounds(head, at, 1, sizeof(uint64_t)); at += sizeof(uint64_t)) {
    uint64_t slot = *reinterpret_cast<const uint64_t*>(base + at);
    if (slot == 0) return true;
    if (slot < start || slot - start >= head.size || slot == start || !is_text(base, head, static_cast<uint32_t>(slot - start))) return false;
  }
  return false;
}

bool steps_fine(const char* base, const PlanHead& head, uint32_t offset, uint32_t count) {
  if (count == 0) return true;
  if (count > kMaxSteps || offset % alignof(Step) != 0 || !in_bounds(head, offset, count, sizeof(Step))) return false;
  auto* steps = reinterpret_cast<const Step*>(base + offset);
  for (uint32_t i = 0; i < count; ++i) {
    const Step& s = steps[i];
    if (s.op > Op::kExec || !is_text(base, head, s.text) || !is_text(base, head, s.text2) || !is_text(base, head, s.text3)) {
      return false;
    }
    if (s.op == Op::kSeccomp && (s.a > 4096 || s.b % alignof(sock_filter) != 0 || !in_bounds(head, s.b, s.a, sizeof(sock_filter)))) return false;
    if (s.op == Op::kGroups && (s.a > 65536 || (s.a > 0 && (s.b % alignof(uint32_t) != 0 || !in_bounds(head, s.b, s.a, sizeof(uint32_t)))))) return false;
  }
  return true;
}

size_t length(const char* text) {
  size_t n = 0;
  while (text[n] != '\0') ++n;
  return n;
}

long open_path(int directory, const char* path, bool allow_absent) {
  open_how how = {};
  how.flags = O_PATH | O_CLOEXEC | O_NOFOLLOW;
  how.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_BENEATH;
  long fd = syscall(__NR_openat2, directory, pointer(path), pointer(&how), sizeof how);
  return fd == -ENOENT && allow_absent ? -ENOENT : fd;
}

// One name needs no walk: move_mount follows no link in the last part of its target (move_mount(2)), so "." and ".."
// aside, which the plan's builder never writes, it can name nothing but an entry of the directory itself.
bool is_one_name(const char* path) {
  for (const char* at = path; *at != '\0'; ++at) {
    if (*at == '/') return false;
  }
  return *path != '\0' && *path != '.';
}

// Puts a mount (a detached one with path "", or one of the template) at directory+path. An empty path is the directory
// itself.
long move_to(long mount, const char* from, int directory, const char* path) {
  long flags = *from == '\0' ? MOVE_MOUNT_F_EMPTY_PATH : 0;
  if (is_one_name(path)) return syscall(__NR_move_mount, mount, pointer(from), directory, pointer(path), flags);
  long target = *path == '\0' ? directory : open_path(directory, path, false);
  if (target < 0) return target;
  long result = syscall(__NR_move_mount, mount, pointer(from), target, pointer(""), flags | MOVE_MOUNT_T_EMPTY_PATH);
  if (*path != '\0') syscall(__NR_close, target);
  return result;
}
long attach(long mount, int directory, const char* path) { return move_to(mount, "", directory, path); }

// Covers `target` with a read-only bind of `source`, both opened by us, which may be the same.
long bind_over(long source, long target) {
  long clone = syscall(__NR_open_tree, source, pointer(""), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
  if (clone < 0) return clone;
  mount_attr attr = {};
  attr.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
  long result = syscall(__NR_mount_setattr, clone, pointer(""), AT_EMPTY_PATH, pointer(&attr), sizeof attr);
  if (result == 0) result = attach(clone, static_cast<int>(target), "");
  syscall(__NR_close, clone);
  return result;
}

// "mode=755,size=65536k" as one fsconfig call each. The text is copied piecewise into a small buffer.
long configure(long fs, const char* options) {
  char buffer[96];
  while (*options != '\0') {
    size_t n = 0;
    size_t value = 0;
    while (options[n] != '\0' && options[n] != ',' && n + 1 < sizeof buffer) {
      buffer[n] = options[n];
      if (buffer[n] == '=' && value == 0) {
        buffer[n] = '\0';
        value = n + 1;
      }
      ++n;
    }
    buffer[n] = '\0';
    long result = value == 0 ? syscall(__NR_fsconfig, fs, FSCONFIG_SET_FLAG, pointer(buffer), 0, 0)
                             : syscall(__NR_fsconfig, fs, FSCONFIG_SET_STRING, pointer(buffer), pointer(buffer + value), 0);
    if (result < 0) return result;
    options += n;
    if (*options == ',') ++options;
  }
  return 0;
}

long mount_new(const Mapped& plan, const Step& s) {
  long fs = syscall(__NR_fsopen, pointer(plan.text(s.text)), FSOPEN_CLOEXEC);
  if (fs < 0) return fs;
  long result = s.text3 == 0 ? 0 : configure(fs, plan.text(s.text3));
  if (result == 0) result = syscall(__NR_fsconfig, fs, FSCONFIG_CMD_CREATE, 0, 0, 0);
  long mount = result == 0 ? syscall(__NR_fsmount, fs, FSMOUNT_CLOEXEC, static_cast<long>(s.a)) : result;
  syscall(__NR_close, fs);
  if (mount < 0) return mount;
  result = attach(mount, s.fd2, plan.text(s.text2));
  syscall(__NR_close, mount);
  return result;
}

// The target first: what is not there (a file of another kernel) costs one call.
long mask(const Mapped& plan, const Step& s) {
  long target = open_path(s.fd2, plan.text(s.text2), true);
  if (target < 0) return target == -ENOENT ? 0 : target;
  long source = open_path(s.fd2, plan.text(s.text), false);
  long result = source < 0 ? source : bind_over(source, target);
  if (source >= 0) syscall(__NR_close, source);
  syscall(__NR_close, target);
  return result;
}

long read_only(const Mapped& plan, const Step& s) {
  long target = open_path(s.fd2, plan.text(s.text2), true);
  if (target < 0) return target == -ENOENT ? 0 : target;
  long result = bind_over(target, target);
  syscall(__NR_close, target);
  return result;
}

long move_tree(const Mapped& plan, const Step& s) { return move_to(AT_FDCWD, plan.text(s.text), s.fd2, plan.text(s.text2)); }

long remount_read_only(const Step& s) {
  mount_attr attr = {};
  attr.attr_set = s.a;
  return syscall(__NR_mount_setattr, s.fd, pointer(""), AT_EMPTY_PATH, pointer(&attr), sizeof attr);
}

// pivot_root(".", ".") stacks the old root over the new one; detaching "." then removes it (pivot_root(2), NOTES).
long pivot(const Step& s) {
  long result = syscall(__NR_fchdir, s.fd);
  if (result == 0) result = syscall(__NR_pivot_root, pointer("."), pointer("."));
  if (result == 0) result = syscall(__NR_umount2, pointer("."), kDetach);
  if (result == 0) result = syscall(__NR_chdir, pointer("/"));
  return result;
}

long change_root(const Step& s) {
  long result = syscall(__NR_fchdir, s.fd);
  return result == 0 ? syscall(__NR_chroot, pointer(".")) : result;
}

long write_file(const Mapped& plan, const Step& s) {
  long fd = syscall(__NR_openat, AT_FDCWD, pointer(plan.text(s.text)), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return fd;
  const char* content = plan.text(s.text2);
  long written = syscall(__NR_write, fd, pointer(content), static_cast<long>(length(content)));
  syscall(__NR_close, fd);
  return written < 0 ? written : 0;
}

// Looking costs a tenth of dropping, which makes new credentials each time, and the executor may have done it before.
long drop_bounding(uint64_t keep) {
  for (int capability = 0; capability < 64; ++capability) {
    if ((keep >> capability & 1) != 0) continue;
    long result = syscall(__NR_prctl, PR_CAPBSET_READ, capability);
    if (result == -EINVAL) return 0;  // past the kernel's last capability
    if (result > 0) result = syscall(__NR_prctl, PR_CAPBSET_DROP, capability);
    if (result < 0) return result;
  }
  return 0;
}

long set_capabilities(uint64_t permitted, uint64_t inheritable) {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2];
  for (int half = 0; half < 2; ++half) {
    data[half].permitted = static_cast<uint32_t>(permitted >> (32 * half));
    data[half].effective = data[half].permitted;
    data[half].inheritable = static_cast<uint32_t>(inheritable >> (32 * half));
  }
  return syscall(__NR_capset, pointer(&header), pointer(data));
}

long raise_ambient(uint64_t mask) {
  for (int capability = 0; capability < 64; ++capability) {
    if ((mask >> capability & 1) == 0) continue;
    long result = syscall(__NR_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0);
    if (result < 0) return result;
  }
  return 0;
}

long load_seccomp(const Mapped& plan, const Step& s) {
  sock_fprog program = {};
  program.len = static_cast<unsigned short>(s.a);
  program.filter = reinterpret_cast<sock_filter*>(plan.base + s.b);
  return syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, 0, pointer(&program));
}

// Tries each candidate in order, as a shell walks PATH: a path that is not there gives way to the next, and an
// unreadable one is what we report in the end.
long execute(const Mapped& plan) {
  auto** argv = reinterpret_cast<char**>(plan.base + plan.head->argv);
  auto** envp = reinterpret_cast<char**>(plan.base + plan.head->envp);
  long worst = -ENOENT;
  for (auto** path = reinterpret_cast<char**>(plan.base + plan.head->candidates); *path != nullptr; ++path) {
    long result = syscall(__NR_execve, pointer(*path), pointer(argv), pointer(envp));
    if (result != -ENOENT && result != -ENOTDIR) worst = result;
    if (result != -ENOENT && result != -ENOTDIR && result != -EACCES) return result;
  }
  return worst;
}

long set_rlimit(const Step& s) {
  uint64_t limit[2] = {s.b, s.c};
  return syscall(__NR_prlimit64, 0, static_cast<long>(s.a), pointer(limit), 0);
}

long run_mounts(const Mapped& plan, const Step& s) {
  switch (s.op) {
    case Op::kAttach: return attach(s.fd, s.fd2, plan.text(s.text));
    case Op::kMoveTree: return move_tree(plan, s);
    case Op::kMountNew: return mount_new(plan, s);
    case Op::kMask: return mask(plan, s);
    case Op::kReadOnly: return read_only(plan, s);
    case Op::kRemountReadOnly: return remount_read_only(s);
    case Op::kPivot: return pivot(s);
    case Op::kChroot: return change_root(s);
    case Op::kFchdir: return syscall(__NR_fchdir, s.fd);
    case Op::kChdir: return syscall(__NR_chdir, pointer(plan.text(s.text)));
    default: return -ENOSYS;
  }
}

long run_identity(const Mapped& plan, const Step& s) {
  auto a = static_cast<long>(s.a);
  switch (s.op) {
    case Op::kDropBounding: return drop_bounding(s.a);
    case Op::kGroups: return syscall(__NR_setgroups, a, s.a == 0 ? 0 : pointer(plan.base + s.b));
    case Op::kSetGid: return syscall(__NR_setresgid, a, a, a);
    case Op::kSetUid: return syscall(__NR_setresuid, a, a, a);
    case Op::kKeepCaps: return syscall(__NR_prctl, PR_SET_KEEPCAPS, a, 0, 0, 0);
    case Op::kCapset: return set_capabilities(s.a, s.b);
    case Op::kAmbientClear: return syscall(__NR_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    case Op::kAmbientRaise: return raise_ambient(s.a);
    case Op::kNoNewPrivs: return syscall(__NR_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    case Op::kSessionKeyring: {
      long result = syscall(__NR_keyctl, KEYCTL_JOIN_SESSION_KEYRING, 0);
      return result == -ENOSYS ? 0 : result;  // a kernel without keyrings has none to leak
    }
    case Op::kSeccomp: return load_seccomp(plan, s);
    default: return run_mounts(plan, s);
  }
}

long run_step(const Mapped& plan, const Step& s) {
  auto a = static_cast<long>(s.a);
  switch (s.op) {
    case Op::kNone: return 0;
    case Op::kSetsid: return syscall(__NR_setsid);
    case Op::kParentDeathSignal: return syscall(__NR_prctl, PR_SET_PDEATHSIG, a, 0, 0, 0);
    case Op::kSetNamespace: return syscall(__NR_setns, s.fd, a);
    case Op::kUnshare: return syscall(__NR_unshare, a);
    case Op::kHostname: {
      const char* name = plan.text(s.text);
      return syscall(__NR_sethostname, pointer(name), static_cast<long>(length(name)));
    }
    case Op::kRlimit: return set_rlimit(s);
    case Op::kWriteFile: return write_file(plan, s);
    case Op::kUmask: return syscall(__NR_umask, a) < 0 ? -EINVAL : 0;
    case Op::kControllingTty: return syscall(__NR_ioctl, 0, TIOCSCTTY, 0);
    case Op::kExec: return execute(plan);
    default: return run_identity(plan, s);
  }
}

}  // namespace

int check_plan(char* base, size_t size, Mapped& out) {
  auto* head = reinterpret_cast<PlanHead*>(base);
  if (size < sizeof(PlanHead) || head->magic != kPlanMagic || head->version != kPlanVersion) return EINVAL;
  if (head->size > size || head->size > kMaxPlanSize || head->size < sizeof(PlanHead)) return EINVAL;
  if (head->standby > 1 || (head->standby == 1 && head->step_count != 0)) return EINVAL;
  // What is relocated changes the block, and with it whatever it lies over: everything is looked at after that.
  uint32_t lists[] = {head->argv, head->envp, head->candidates};
  if (head->standby == 0) {
    for (uint32_t list : lists) {
      if (list == 0 || !relocate(base, *head, list)) return EINVAL;
    }
    for (uint32_t list : lists) {
      if (!list_fine(base, *head, list)) return EINVAL;
    }
  }
  if (!steps_fine(base, *head, head->prelude, head->prelude_count)) return EINVAL;
  if (!steps_fine(base, *head, head->steps, head->step_count)) return EINVAL;
  bool aligned = head->inherited % alignof(int32_t) == 0;
  if (head->inherited_count > kMaxInherited || !aligned || !in_bounds(*head, head->inherited, head->inherited_count, sizeof(int32_t))) return EINVAL;
  if (!is_text(base, *head, head->title)) return EINVAL;
  if (!is_text(base, *head, head->log_name[0]) || !is_text(base, *head, head->log_name[1])) return EINVAL;
  out = {base, head};
  return 0;
}

bool renumber(const Mapped& plan, const int* received, uint32_t count) {
  auto* head = reinterpret_cast<PlanHead*>(plan.base);
  auto* sent = reinterpret_cast<const int32_t*>(plan.base + head->inherited);
  if (head->inherited_count != count) return false;
  bool complete = true;
  auto replace = [&](int32_t& fd) {
    if (fd < 0) return;
    for (uint32_t i = 0; i < count; ++i) {
      if (sent[i] == fd) {
        fd = received[i];
        return;
      }
    }
    complete = false;
  };
  for (int32_t* fd : {&head->cgroup_fd, &head->listen_fd, &head->record_fd, &head->ended_fd, &head->log_dir_fd}) replace(*fd);
  for (int32_t& fd : head->stdio_fd) replace(fd);
  auto* steps = reinterpret_cast<Step*>(plan.base + head->steps);
  for (uint32_t i = 0; i < head->step_count; ++i) {
    replace(steps[i].fd);
    replace(steps[i].fd2);
  }
  return complete;
}

Failure run_steps(const Mapped& plan, uint32_t offset, uint32_t count) {
  auto* steps = reinterpret_cast<const Step*>(plan.base + offset);
  for (uint32_t i = 0; i < count; ++i) {
    long result = run_step(plan, steps[i]);
    if (result < 0) return {i, static_cast<uint16_t>(steps[i].op), static_cast<int32_t>(-result)};
  }
  return {};
}

}  // namespace steppe::isolate
