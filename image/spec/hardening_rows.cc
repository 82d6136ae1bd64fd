#include "image/spec/hardening_row.h"

// Sources: the Kernel Self Protection Project's recommended settings, the kernel-hardening-checker's list, the CIS benchmark for
// Linux (network), the kernel's own sysctl and command line documentation, and what comparable systems set.
namespace steppe::spec {
namespace {

constexpr Kind kSysctl = Kind::kSetting, kArg = Kind::kArgument, kMount = Kind::kMount;
constexpr std::string_view kAbsent = hardening::kAbsent;

// Settings named "default" reach a device when its driver brings it; drivers are modules here, so only lo is older.
constexpr Requirement kRows[] = {
    enforced(kSysctl, "dev.tty.ldisc_autoload", "0", "5.1"),
    enforced(kSysctl, "dev.tty.legacy_tiocsti", "0", "6.2"),
    enforced(kSysctl, "fs.protected_fifos", "2", "4.19"),
    enforced(kSysctl, "fs.protected_hardlinks", "1", "3.6"),
    enforced(kSysctl, "fs.protected_regular", "2", "4.19"),
    enforced(kSysctl, "fs.protected_symlinks", "1", "3.6"),
    enforced(kSysctl, "fs.suid_dumpable", "0", "2.6.13"),
    enforced(kSysctl, "kernel.dmesg_restrict", "1", "2.6.37"),
    enforced(kSysctl, "kernel.io_uring_disabled", "2", "6.6"),
    waived(kSysctl, "kernel.kexec_load_disabled", "1", "3.14",
           "an image that firmware proved before may be started by kexec; lockdown refuses the call without a "
           "signature, and tasks' call filter refuses it always"),
    enforced(kSysctl, "kernel.kptr_restrict", "2", "2.6.38"),
    waived(kSysctl, "kernel.modules_disabled", "1", "2.6.31",
           "drivers and file systems are modules, loaded when a device or a mount asks for them, also long "
           "after the start; module.sig_enforce lets in signed ones only"),
    enforced(kSysctl, "kernel.oops_limit", "100", "6.2"),
    enforced(kSysctl, "kernel.panic", "10", "2.6.12"),
    enforced(kSysctl, "kernel.perf_event_paranoid", "3", "4.6"),
    enforced(kSysctl, "kernel.randomize_va_space", "2", "2.6.25"),
    enforced(kSysctl, "kernel.sysrq", "0", "2.6.12"),
    enforced(kSysctl, "kernel.unprivileged_bpf_disabled", "1", "4.4"),
    enforced(kSysctl, "kernel.warn_limit", "100", "6.2"),
    weaker(waived(kSysctl, "kernel.yama.ptrace_scope", "3", "3.4",
                  "a job may be given cap_add sys_ptrace to debug its own processes, which 3 would forbid until the "
                  "next boot; 2 forbids it to all others"), "2"),
    enforced(kSysctl, "net.core.bpf_jit_harden", "2", "4.7"),
    enforced(kSysctl, "net.ipv4.conf.all.accept_redirects", "0", "2.6.12"),
    enforced(kSysctl, "net.ipv4.conf.all.accept_source_route", "0", "2.6.12"),
    enforced(kSysctl, "net.ipv4.conf.all.log_martians", "1", "2.6.12"),
    weaker(waived(kSysctl, "net.ipv4.conf.all.rp_filter", "1", "2.6.12",
                  "a node with two links in one network, or with a bridge for tasks, gets packets by another link "
                  "than it answers on: strict would drop them; 2 wants a route back"), "2"),
    enforced(kSysctl, "net.ipv4.conf.all.secure_redirects", "0", "2.6.12"),
    enforced(kSysctl, "net.ipv4.conf.all.send_redirects", "0", "2.6.12"),
    enforced(kSysctl, "net.ipv4.conf.default.accept_redirects", "0", "2.6.12"),
    enforced(kSysctl, "net.ipv4.conf.default.accept_source_route", "0", "2.6.12"),
    enforced(kSysctl, "net.ipv4.conf.default.log_martians", "1", "2.6.12"),
    weaker(waived(kSysctl, "net.ipv4.conf.default.rp_filter", "1", "2.6.12", "as net.ipv4.conf.all.rp_filter"), "2"),
    enforced(kSysctl, "net.ipv4.conf.default.secure_redirects", "0", "2.6.12"),
    enforced(kSysctl, "net.ipv4.conf.default.send_redirects", "0", "2.6.12"),
    enforced(kSysctl, "net.ipv4.icmp_echo_ignore_broadcasts", "1", "2.6.12"),
    enforced(kSysctl, "net.ipv4.icmp_ignore_bogus_error_responses", "1", "2.6.12"),
    waived(kSysctl, "net.ipv4.ip_forward", "0", "2.6.12",
           "whoever makes a bridge for tasks turns it on; until then the kernel's own default is 0"),
    enforced(kSysctl, "net.ipv4.tcp_syncookies", "1", "2.6.12"),
    enforced(kSysctl, "net.ipv6.conf.all.accept_ra", "0", "2.6.12"),
    enforced(kSysctl, "net.ipv6.conf.all.accept_redirects", "0", "2.6.12"),
    enforced(kSysctl, "net.ipv6.conf.all.accept_source_route", "0", "2.6.21"),
    // IPv6 addresses come all the same: dhcpcd reads router advertisements itself, on the devices that the configuration
    // gives it. The kernel's own reading of them stays off.
    enforced(kSysctl, "net.ipv6.conf.default.accept_ra", "0", "2.6.12"),
    enforced(kSysctl, "net.ipv6.conf.default.accept_redirects", "0", "2.6.12"),
    enforced(kSysctl, "net.ipv6.conf.default.accept_source_route", "0", "2.6.21"),
    enforced(kSysctl, "user.max_user_namespaces", "0", "4.9"),
    enforced(kSysctl, "vm.mmap_min_addr", "65536", "2.6.23"),
    amd64(enforced(kSysctl, "vm.mmap_rnd_bits", "32", "4.5")),
    arm64(enforced(kSysctl, "vm.mmap_rnd_bits", "33", "4.5")),
    enforced(kSysctl, "vm.mmap_rnd_compat_bits", "16", "4.5"),
    enforced(kSysctl, "vm.unprivileged_userfaultfd", "0", "5.2"),

    enforced(kArg, "bdev_allow_write_mounted", "0", "6.8"),
    waived(kArg, "cfi", "kcfi", "6.2", "Debian builds its kernel with gcc, which has no kCFI (CONFIG_CFI_CLANG)"),
    enforced(kArg, "debugfs", "off", "5.9"),
    waived(kArg, "efi", "disable_early_pci_dma", "5.6",
           "firmware and devices that still use the bus then hang before anything can be said; that a machine "
           "stands it must be tried, then its image's spec adds the argument"),
    enforced(kArg, "hash_pointers", "always", "6.17"),
    amd64(enforced(kArg, "ia32_emulation", "0", "6.7")),
    enforced(kArg, "init_on_alloc", "1", "5.3"),
    enforced(kArg, "init_on_free", "1", "5.3"),
    amd64(enforced(kArg, "iommu", "force", "2.6.12")),
    enforced(kArg, "iommu.passthrough", "0", "5.3"),
    enforced(kArg, "iommu.strict", "1", "4.20"),
    enforced(kArg, "kfence.sample_interval", "100", "5.12"),
    enforced(kArg, "lockdown", "confidentiality", "5.4"),
    enforced(kArg, "mitigations", "auto", "5.2"),
    enforced(kArg, "module.sig_enforce", "1", "3.7"),
    enforced(kArg, "page_alloc.shuffle", "1", "5.2"),
    enforced(kArg, "proc_mem.force_override", "never", "6.12"),
    amd64(enforced(kArg, "pti", "on", "4.15")),
    enforced(kArg, "randomize_kstack_offset", "1", "5.13"),
    enforced(kArg, "slab_nomerge", "", "3.18"),
    amd64(enforced(kArg, "tsx", "off", "5.4")),
    amd64(enforced(kArg, "vdso32", "0", "2.6.25")),
    amd64(enforced(kArg, "vsyscall", "none", "3.2")),
    enforced(kArg, "nopti", kAbsent, "4.15"),
    enforced(kArg, "norandmaps", kAbsent, "2.6.16"),
    enforced(kArg, "slab_merge", kAbsent, "4.13"),
    enforced(kArg, "sysrq_always_enabled", kAbsent, "2.6.20"),

    enforced(kMount, "/", "ro,nosuid,nodev", ""),
    enforced(kMount, "/dev", "nosuid,noexec", ""),
    enforced(kMount, "/dev/pts", "nosuid,noexec", ""),
    enforced(kMount, "/dev/shm", "nosuid,nodev,noexec", ""),
    enforced(kMount, "/proc", "nosuid,nodev,noexec", ""),
    enforced(kMount, "/run", "nosuid,nodev,noexec", ""),
    enforced(kMount, "/sys", "nosuid,nodev,noexec", ""),
    enforced(kMount, "/sys/fs/cgroup", "nosuid,nodev,noexec", ""),
    optional(enforced(kMount, "/sys/firmware/efi/efivars", "ro,nosuid,nodev,noexec", "")),
    enforced(kMount, "/tmp", "nosuid,nodev,noexec", ""),
    // Where tasks' programs lie is where they are executed from; "noexec but for the volume of the allocations" is the rule.
    enforced(kMount, "/var", "nosuid,nodev", ""),
    optional(enforced(kMount, "/state", "nosuid,nodev,noexec", "")),
    optional(enforced(kMount, "/data", "nosuid,nodev", "")),
    optional(enforced(kMount, "/data/*", "nosuid,nodev", "")),
    optional(enforced(kMount, "/var/*", "nosuid,nodev", "")),
    // Extensions: drivers with their libraries, which tasks see.
    optional(enforced(kMount, "/run/steppe/extensions/*", "ro,nosuid,nodev", "")),
    // The slots of the images lie there: whoever stages one writes to it.
    weaker(optional(waived(kMount, "/efi", "ro,nosuid,nodev,noexec", "",
           "images are staged, blessed and renamed there by name alone, for which it stays writable for root; "
           "nobody else can look into it")),
           "nosuid,nodev,noexec"),
    waived(kMount, "hidepid", "invisible", "5.8",
           "a task has a PID namespace of its own and sees nothing else in its /proc; nobody logs in to the host"),
    optional(enforced(kMount, "*", "nosuid,nodev,noexec", "")),
};

}  // namespace

std::span<const Requirement> hardening_requirements() { return kRows; }

}  // namespace steppe::spec
