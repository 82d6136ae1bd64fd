#include "init/sys/kernel/self_confine.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

#include "init/sys/kernel/fd.h"

namespace steppe::kernel {
namespace {

Result<> limit(__rlimit_resource resource, uint64_t value, const char* what) {
  rlimit wanted{value, value};
  rlimit now;
  if (::getrlimit(resource, &now) == 0 && now.rlim_max < value) wanted = {now.rlim_max, now.rlim_max};
  if (::setrlimit(resource, &wanted) != 0) return Error::from_errno(errno, what);
  return {};
}

constexpr uint64_t kRead = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
// The first ABI's rights to change; execution is handled and granted nowhere.
constexpr uint64_t kChange = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
                             LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SYM;
constexpr uint64_t kHandled = kRead | kChange | LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_CHAR |
                              LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK;

Result<> allow(int ruleset, int fd, uint64_t access) {
  landlock_path_beneath_attr rule{};
  rule.allowed_access = access;
  rule.parent_fd = fd;
  if (::syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0) return Error::from_errno(errno, "landlock rule");
  return {};
}

Result<bool> restrict_files(const Confinement& wanted) {
  landlock_ruleset_attr attributes{};
  attributes.handled_access_fs = kHandled;
  // The first ABI knows this field only; a later kernel takes the short form.
  long made = ::syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes.handled_access_fs, 0);
  if (made < 0 && (errno == ENOSYS || errno == EOPNOTSUPP)) return false;
  if (made < 0) return Error::from_errno(errno, "landlock ruleset");
  Fd ruleset(static_cast<int>(made));
  for (const std::string& path : wanted.readable) {
    Fd fd(::open(path.c_str(), O_PATH | O_CLOEXEC));
    if (!fd) continue;  // not on this machine
    bool directory = Fd(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)).valid();
    STEPPE_TRY_VOID(allow(ruleset.get(), fd.get(), directory ? kRead : LANDLOCK_ACCESS_FS_READ_FILE));
  }
  for (int fd : wanted.writable) STEPPE_TRY_VOID(allow(ruleset.get(), fd, kRead | kChange));
  if (::syscall(SYS_landlock_restrict_self, ruleset.get(), 0) != 0) return Error::from_errno(errno, "landlock");
  return true;
}

#if defined(__x86_64__)
constexpr uint32_t kAuditArch = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr uint32_t kAuditArch = AUDIT_ARCH_AARCH64;
#endif

constexpr int kDenied[] = {
    SYS_execve, SYS_execveat, SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_kcmp, SYS_pidfd_getfd,
    SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot, SYS_move_mount, SYS_open_tree, SYS_fsopen, SYS_fsmount,
    SYS_fsconfig, SYS_fspick, SYS_mount_setattr, SYS_unshare, SYS_setns, SYS_bpf, SYS_perf_event_open, SYS_userfaultfd,
    SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register, SYS_init_module, SYS_finit_module, SYS_delete_module,
    SYS_kexec_load, SYS_kexec_file_load, SYS_reboot, SYS_swapon, SYS_swapoff, SYS_keyctl, SYS_add_key, SYS_request_key,
    SYS_open_by_handle_at, SYS_name_to_handle_at, SYS_settimeofday, SYS_clock_settime, SYS_adjtimex, SYS_sethostname,
    SYS_setdomainname, SYS_acct, SYS_quotactl, SYS_syslog, SYS_kill, SYS_tkill, SYS_pidfd_send_signal,
};

Result<> filter_calls() {
  std::vector<sock_filter> program = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kAuditArch, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      // The x32 calls of amd64 have numbers of their own; nothing of ours uses them.
      BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
  };
  for (int number : kDenied) {
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(number), 0, 1));
    program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM));
  }
  program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
  if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) return Error::from_errno(errno, "seccomp");
  return {};
}

Result<> drop_capabilities() {
  for (int number = 0; number < 64; ++number) {
    if (::prctl(PR_CAPBSET_DROP, number) != 0 && errno == EPERM) break;  // we have no right to: then no new ones can come either
  }
  (void)::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct none[2] = {};
  if (::syscall(SYS_capset, &header, none) != 0) return Error::from_errno(errno, "drop capabilities");
  return {};
}

}  // namespace

Result<Confined> confine_self(const Confinement& wanted) {
  if (wanted.max_file_size != 0) STEPPE_TRY_VOID(limit(RLIMIT_FSIZE, wanted.max_file_size, "limit the file size"));
  if (wanted.max_cpu_seconds != 0) STEPPE_TRY_VOID(limit(RLIMIT_CPU, wanted.max_cpu_seconds, "limit the processor time"));
  STEPPE_TRY_VOID(limit(RLIMIT_NOFILE, wanted.max_open_files, "limit open files"));
  STEPPE_TRY_VOID(limit(RLIMIT_CORE, 0, "limit core files"));
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return Error::from_errno(errno, "no_new_privs");
  STEPPE_TRY_VOID(drop_capabilities());
  Confined out;
  STEPPE_TRY(out.landlock, restrict_files(wanted));
  STEPPE_TRY_VOID(filter_calls());
  return out;
}

}  // namespace steppe::kernel
