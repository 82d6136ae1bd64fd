// The floor of a task's start: a supervisor and a sandbox, nothing but the system calls. launch-floor MODE ROOT FILTER CGROUP PROGRAM:
//   two   this process is the supervisor: cgroup, pipe, clone3 the sandbox, read its output, wait, write a record, exit
//   one   this process becomes the sandbox itself (its parent made the namespaces)
// ROOT is a directory with the mount points; FILTER a file with the seccomp program; CGROUP a cgroup to make, or "-".
#include <asm/unistd.h>
#include <linux/fcntl.h>
#include <linux/filter.h>
#include <linux/mman.h>
#include <linux/mount.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <linux/capability.h>
#include <stddef.h>
#include <initializer_list>
#include <stdint.h>

#include "init/sys/kernel/raw.h"

using steppe::kernel::raw::pointer;
using steppe::kernel::raw::syscall;

namespace {

const char* g_root;
const char* g_program;
sock_filter g_filter[4096];
long g_filter_size;
int g_stdio = -1;

long mount(const char* from, const char* to, const char* type, unsigned long flags, const char* data = nullptr) {
  return syscall(__NR_mount, pointer(from), pointer(to), pointer(type), static_cast<long>(flags), pointer(data));
}
[[noreturn]] void leave(int code) {
  for (;;) syscall(__NR_exit_group, code);
}
void must(long result, int where) {
  if (result < 0) leave(where);
}
void bind(const char* from, const char* to, bool read_only) {
  must(mount(from, to, nullptr, MS_BIND), 10);
  must(mount(nullptr, to, nullptr, MS_BIND | MS_REMOUNT | MS_NOSUID | MS_NODEV | (read_only ? MS_RDONLY : 0)), 11);
}

void make_dev() {
  must(mount("tmpfs", "dev", "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=755,size=64k"), 20);
  struct Node { const char* name; int dev; };
  static const Node nodes[] = {{"dev/null", 0x103}, {"dev/zero", 0x105}, {"dev/full", 0x107}, {"dev/random", 0x108}, {"dev/urandom", 0x109}, {"dev/tty", 0x500}};
  for (const Node& n : nodes) must(syscall(__NR_mknodat, AT_FDCWD, pointer(n.name), 0020666, n.dev), 21);
  static const char* const links[][2] = {{"/proc/self/fd", "dev/fd"}, {"/proc/self/fd/0", "dev/stdin"}, {"/proc/self/fd/1", "dev/stdout"}, {"/proc/self/fd/2", "dev/stderr"}, {"pts/ptmx", "dev/ptmx"}};
  for (auto& l : links) must(syscall(__NR_symlinkat, pointer(l[0]), AT_FDCWD, pointer(l[1])), 22);
  must(syscall(__NR_mkdirat, AT_FDCWD, pointer("dev/pts"), 0755), 23);
  must(syscall(__NR_mkdirat, AT_FDCWD, pointer("dev/shm"), 01777), 24);
  must(mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"), 25);
  must(mount("tmpfs", "dev/shm", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=1777,size=65536k"), 26);
}

void make_root() {
  must(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE), 30);
  must(mount(g_root, g_root, nullptr, MS_BIND), 31);
  must(syscall(__NR_chdir, pointer(g_root)), 32);
  bind("/usr", "usr", true);
  bind("/etc", "etc", true);
  make_dev();
  must(mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC), 33);
  for (const char* path : {"proc/sys", "proc/bus", "proc/fs", "proc/irq", "proc/sysrq-trigger"}) {
    if (mount(path, path, nullptr, MS_BIND) == 0) must(mount(nullptr, path, nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC), 34);
  }
  for (const char* path : {"proc/kcore", "proc/keys", "proc/timer_list"}) mount("dev/null", path, nullptr, MS_BIND);
  must(mount("sysfs", "sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY), 35);
  for (const char* path : {"local", "secrets", "tmp", "alloc"}) bind(path, path, false);
  must(mount(nullptr, ".", nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV), 36);
  must(syscall(__NR_chdir, pointer(g_root)), 37);
  must(syscall(__NR_pivot_root, pointer("."), pointer(".")), 38);
  must(syscall(__NR_umount2, pointer("."), 2), 39);
  must(syscall(__NR_chdir, pointer("/")), 40);
}

int sandbox(void*) {
  uint64_t none = 0;
  syscall(__NR_rt_sigprocmask, 2, pointer(&none), 0, sizeof none);
  if (g_stdio >= 0) for (int i = 1; i < 3; ++i) syscall(__NR_dup3, g_stdio, i, 0);
  syscall(__NR_close_range, 3, ~0u, 4 /* CLOEXEC */);
  syscall(__NR_setsid);
  make_root();
  for (int cap = 0; cap < 41; ++cap) {
    if ((0xa80405fbull >> cap & 1) == 0) syscall(__NR_prctl, PR_CAPBSET_DROP, cap);
  }
  must(syscall(__NR_setgroups, 0, 0), 50);
  must(syscall(__NR_setresgid, 65534, 65534, 65534), 51);
  must(syscall(__NR_setresuid, 65534, 65534, 65534), 52);
  syscall(__NR_prctl, PR_SET_PDEATHSIG, 9);
  must(syscall(__NR_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 53);
  sock_fprog program = {};
  program.len = static_cast<unsigned short>(g_filter_size / static_cast<long>(sizeof(sock_filter)));
  program.filter = g_filter;
  must(syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, 0, pointer(&program)), 54);
  const char* argv[] = {g_program, nullptr};
  const char* env[] = {"PATH=/usr/bin:/bin", nullptr};
  syscall(__NR_execve, pointer(g_program), pointer(argv), pointer(env));
  return 127;
}

int run(const char* mode, const char* filter, const char* cgroup) {
  long fd = syscall(__NR_openat, AT_FDCWD, pointer(filter), O_RDONLY | O_CLOEXEC);
  must(fd, 2);
  g_filter_size = syscall(__NR_read, fd, pointer(g_filter), sizeof g_filter);
  if (mode[0] == 'o') return sandbox(nullptr);
  int ends[2], pidfd = -1;
  must(syscall(__NR_pipe2, pointer(ends), O_CLOEXEC), 3);
  g_stdio = ends[1];
  long group = -1;
  if (cgroup[0] != '-') {
    must(syscall(__NR_mkdirat, AT_FDCWD, pointer(cgroup), 0755), 5);
    must(group = syscall(__NR_openat, AT_FDCWD, pointer(cgroup), O_RDONLY | O_DIRECTORY | O_CLOEXEC), 6);
  }
  long stack = syscall(__NR_mmap, 0, 32768, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  steppe::kernel::raw::CloneArgs clone;
  clone.flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS;
  clone.pidfd = static_cast<uint64_t>(pointer(&pidfd));
  clone.exit_signal = 17;
  if (group >= 0) {
    clone.flags |= CLONE_INTO_CGROUP;
    clone.cgroup = static_cast<uint64_t>(group);
  }
  clone.stack = static_cast<uint64_t>(stack);
  clone.stack_size = 32768;
  must(steppe::kernel::raw::clone3(&clone, sandbox, nullptr), 4);
  syscall(__NR_close, ends[1]);
  char buffer[4096];
  while (syscall(__NR_read, ends[0], pointer(buffer), sizeof buffer) > 0) {
  }
  int info[32] = {};
  syscall(__NR_waitid, 3 /* P_PIDFD */, pidfd, pointer(info), 4 /* WEXITED */, 0);
  long record = syscall(__NR_memfd_create, pointer("record"), 1);
  syscall(__NR_pwrite64, record, pointer(info), 64, 0);
  return info[6];
}

}  // namespace

asm(".globl _start\n_start:\n  xorl %ebp, %ebp\n  movq %rsp, %rdi\n  andq $-16, %rsp\n  call floor_entry\n  hlt\n");

extern "C" {
[[noreturn]] void floor_entry(long* stack) {
  auto** argv = reinterpret_cast<char**>(stack + 1);
  if (stack[0] != 6) leave(1);
  g_root = argv[2];
  g_program = argv[5];
  leave(run(argv[1], argv[3], argv[4]));
}
void* memset(void* to, int value, size_t size) {
  auto* out = static_cast<char*>(to);
  for (size_t i = 0; i < size; ++i) out[i] = static_cast<char>(value);
  return to;
}
void* memcpy(void* to, const void* from, size_t size) {
  for (size_t i = 0; i < size; ++i) static_cast<char*>(to)[i] = static_cast<const char*>(from)[i];
  return to;
}
}
