#include "drivers/isolate/system_filter.h"

#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <format>
#include <memory>


namespace steppe::isolate {
namespace {

using kernel::capability_bit;

constexpr kernel::CapabilitySet kSysAdmin = capability_bit(21), kSysPtrace = capability_bit(19), kSysTime = capability_bit(25),
                                kSysModule = capability_bit(16), kSysBoot = capability_bit(22), kSysRawio = capability_bit(17),
                                kBpf = capability_bit(39), kPerfmon = capability_bit(38), kSyslog = capability_bit(34),
                                kSysPacct = capability_bit(20), kSysTty = capability_bit(26), kDacRead = capability_bit(2);
constexpr unsigned kCloneNewUser = 0x10000000;

struct FreeContext {
  void operator()(void* context) const { seccomp_release(context); }
};
using Context = std::unique_ptr<void, FreeContext>;

Error failed(int result, std::string_view what) { return Error::from_errno(-result, std::format("seccomp: {}", what)); }

// A rule for every ABI of the filter; a call that an ABI lacks is left out there.
Result<> deny(const Context& filter, const char* name, int error, std::vector<scmp_arg_cmp> arguments = {}) {
  int number = seccomp_syscall_resolve_name(name);
  if (number == __NR_SCMP_ERROR) return {};
  int result = seccomp_rule_add_array(filter.get(), SCMP_ACT_ERRNO(static_cast<uint32_t>(error)), number,
                                      static_cast<unsigned>(arguments.size()), arguments.data());
  if (result == -EDOM || result == -EOPNOTSUPP) return {};
  if (result != 0) return failed(result, std::format("rule for {}", name));
  return {};
}

Result<> deny_by_argument(const Context& filter, kernel::CapabilitySet bounding) {
  if ((bounding & kSysAdmin) == 0) {
    // A user namespace hands out every capability over kernel code that was written for root alone.
    for (const char* name : {"clone", "unshare"}) {
      STEPPE_TRY_VOID(deny(filter, name, EPERM, {SCMP_A0(SCMP_CMP_MASKED_EQ, kCloneNewUser, kCloneNewUser)}));
    }
    STEPPE_TRY_VOID(deny(filter, "clone3", ENOSYS));
  }
  // Keystrokes pushed into a terminal are run by whoever holds it next (CVE-2017-5226, CVE-2023-1523).
  STEPPE_TRY_VOID(deny(filter, "ioctl", EPERM, {SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffffu, TIOCSTI)}));
  STEPPE_TRY_VOID(deny(filter, "ioctl", EPERM, {SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffffu, TIOCLINUX)}));
  // ADDR_NO_RANDOMIZE, MMAP_PAGE_ZERO, ADDR_COMPAT_LAYOUT, READ_IMPLIES_EXEC weaken the process for whoever attacks it
  // next. One rule a bit, as libseccomp compares an argument once; the query (all bits set) is refused with them.
  for (unsigned bit : {0x0040000u, 0x0100000u, 0x0200000u, 0x0400000u}) {
    STEPPE_TRY_VOID(deny(filter, "personality", EPERM, {SCMP_A0(SCMP_CMP_MASKED_EQ, bit, bit)}));
  }
  return {};
}

Result<std::vector<sock_filter>> export_filter(const Context& filter) {
  size_t size = 0;
  int result = seccomp_export_bpf_mem(filter.get(), nullptr, &size);
  if (result != 0) return failed(result, "measure the program");
  std::vector<sock_filter> program(size / sizeof(sock_filter));
  result = seccomp_export_bpf_mem(filter.get(), program.data(), &size);
  if (result != 0) return failed(result, "export the program");
  return program;
}

}  // namespace

const std::vector<DeniedCalls>& denied_calls() {
  static const std::vector<DeniedCalls> table = {
      {"mounts: the root is fixed when the task starts; the new mount API has no path for a filter to see", EPERM,
       {"mount", "umount", "umount2", "pivot_root", "open_tree", "open_tree_attr", "move_mount", "fsopen", "fsconfig", "fsmount",
        "fspick", "mount_setattr", "statmount", "listmount"}, kSysAdmin},
      {"namespaces of others", EPERM, {"setns"}, kSysAdmin},
      {"keyrings are not namespaced", EPERM, {"keyctl", "add_key", "request_key"}},
      {"bpf: verifier holes are kernel holes", EPERM, {"bpf"}, kBpf | kSysAdmin},
      {"perf counters leak other tasks", EPERM, {"perf_event_open"}, kPerfmon | kSysAdmin},
      {"io_uring bypasses this filter", ENOSYS, {"io_uring_setup", "io_uring_enter", "io_uring_register"}},
      {"userfaultfd stretches kernel races", EPERM, {"userfaultfd"}, kSysPtrace},
      {"other processes' memory across the task's border", EPERM,
       {"process_vm_readv", "process_vm_writev", "kcmp", "pidfd_getfd", "process_madvise"}, kSysPtrace},
      {"a kernel of its own", EPERM, {"kexec_load", "kexec_file_load", "reboot"}, kSysBoot},
      {"kernel code", EPERM, {"init_module", "finit_module", "delete_module", "create_module", "query_module", "get_kernel_syms"}, kSysModule},
      {"hardware ports", EPERM, {"iopl", "ioperm"}, kSysRawio},
      {"the machine's clock", EPERM, {"settimeofday", "stime", "clock_settime", "clock_settime64", "adjtimex", "clock_adjtime", "clock_adjtime64"}, kSysTime},
      {"the machine's swap, accounting, quotas, names and log", EPERM, {"swapon", "swapoff", "acct", "quotactl", "quotactl_fd", "sethostname", "setdomainname", "nfsservctl"}, kSysAdmin | kSysPacct},
      {"the kernel's log", EPERM, {"syslog"}, kSyslog | kSysAdmin},
      {"handles reach files outside the root", EPERM, {"open_by_handle_at"}, kDacRead},
      {"cache and lookup oracles, obsolete calls", EPERM, {"lookup_dcookie", "sysfs", "_sysctl", "uselib", "ustat", "vm86", "vm86old", "vhangup"}, kSysAdmin | kSysTty},
      {"fanotify watches whole mounts", EPERM, {"fanotify_init"}, kSysAdmin},
      {"NUMA placement belongs to the scheduler", EPERM, {"move_pages", "migrate_pages", "set_mempolicy_home_node"}, capability_bit(23) | kSysAdmin},
  };
  return table;
}

Result<std::vector<sock_filter>> build_system_filter(kernel::CapabilitySet bounding) {
  Context filter(seccomp_init(SCMP_ACT_ALLOW));
  if (!filter) return {Code::kExhausted, "seccomp: no memory for a filter"};
  // A foreign ABI would walk past every rule, as numbers differ there: it fails, except the 32-bit one we have rules for.
  (void)seccomp_attr_set(filter.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
  // A binary tree instead of a chain: the cost of a call does not grow with the number of rules.
  (void)seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);
#if defined(__x86_64__)
  if (int result = seccomp_arch_add(filter.get(), SCMP_ARCH_X86); result != 0) return failed(result, "add the 32-bit ABI");
#endif
  for (const DeniedCalls& group : denied_calls()) {
    if ((group.unless & bounding) != 0) continue;
    for (const char* name : group.names) STEPPE_TRY_VOID(deny(filter, name, group.error));
  }
  STEPPE_TRY_VOID(deny_by_argument(filter, bounding));
  return export_filter(filter);
}

}  // namespace steppe::isolate
