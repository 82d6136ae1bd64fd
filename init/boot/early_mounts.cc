#include "init/boot/early_mounts.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>

namespace steppe::boot {
namespace {

constexpr unsigned long kQuiet = MS_NOSUID | MS_NODEV | MS_NOEXEC;
constexpr auto kRequired = EarlyMount::Need::kRequired;
constexpr auto kOptional = EarlyMount::Need::kOptional;

constexpr EarlyMount kFirst[] = {
    // The kernel mounts devtmpfs itself only where it was told to (CONFIG_DEVTMPFS_MOUNT does not reach an initramfs).
    {"devtmpfs", "/dev", MS_NOSUID | MS_NOEXEC, "mode=0755", kRequired},
    {"proc", "/proc", kQuiet, nullptr, kRequired},
    {"sysfs", "/sys", kQuiet, nullptr, kRequired},
    // /run holds executors' sockets and sealed programs of tasks, none of which is executed from there.
    {"tmpfs", "/run", kQuiet, "mode=0755,size=20%", kRequired},
};

constexpr EarlyMount kRoot[] = {
    // A private instance: whoever opens /dev/pts/ptmx gets a terminal, group 5 is what every distribution calls tty.
    {"devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "gid=5,mode=620,ptmxmode=000", kRequired},
    {"tmpfs", "/dev/shm", kQuiet, "mode=1777,size=50%", kRequired},
    {"mqueue", "/dev/mqueue", kQuiet, nullptr, kOptional},
    {"hugetlbfs", "/dev/hugepages", kQuiet, nullptr, kOptional},
    {"tmpfs", "/tmp", kQuiet, "mode=1777,size=20%", kRequired},
    // Tasks are executed from their allocations below /var: no noexec.
    {"tmpfs", "/var", MS_NOSUID | MS_NODEV, "mode=0755,size=50%", kRequired},
    // Where the machine's partitions are mounted over, if it has any; what a machine without them keeps is gone at its end.
    {"tmpfs", "/state", kQuiet, "mode=0755,size=50%", kOptional},
    {"tmpfs", "/data", MS_NOSUID | MS_NODEV, "mode=0755,size=50%", kOptional},
    {"securityfs", "/sys/kernel/security", kQuiet, nullptr, kOptional},
    {"bpf", "/sys/fs/bpf", kQuiet, "mode=0700", kOptional},
    {"pstore", "/sys/fs/pstore", kQuiet, nullptr, kOptional},
    {"configfs", "/sys/kernel/config", kQuiet, nullptr, kOptional},
    {"tracefs", "/sys/kernel/tracing", kQuiet, "mode=0700", kOptional},
    // Read-only: a careless write can brick firmware. Whoever writes a variable remounts it for that moment.
    {"efivarfs", "/sys/firmware/efi/efivars", kQuiet | MS_RDONLY, nullptr, kOptional},
    // memory_recursiveprot: memory.min of a directory protects what is below without a value of its own.
    {"cgroup2", "/sys/fs/cgroup", kQuiet, "nsdelegate,memory_recursiveprot", kRequired},
};

}  // namespace

std::span<const EarlyMount> first_mounts() { return kFirst; }
std::span<const EarlyMount> root_mounts() { return kRoot; }

Result<> mount_all(std::span<const EarlyMount> rows) {
  for (const EarlyMount& row : rows) {
    if (::mkdir(row.target, 0755) != 0 && errno != EEXIST && row.need == EarlyMount::Need::kOptional) continue;
    if (::mount(row.type, row.target, row.type, row.flags, row.data) == 0 || errno == EBUSY) continue;
    if (row.need == EarlyMount::Need::kOptional) continue;
    return Error::from_errno(errno, std::string("mount ") + row.type + " on " + row.target);
  }
  return {};
}

Result<> share_mounts() {
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_SHARED, nullptr) != 0) return Error::from_errno(errno, "share the mounts of /");
  return {};
}

void fill_standard_descriptors() {
  int null = ::open("/dev/null", O_RDWR);  // takes the lowest free number, and stays there if that is 0, 1 or 2
  while (null >= 0 && null <= 2) null = ::dup(null);
  if (null > 2) ::close(null);
}

}  // namespace steppe::boot
