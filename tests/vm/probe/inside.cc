#include "tests/vm/probe/inside.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/watchdog.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "init/boot/machine_clock.h"
#include "tests/vm/probe/report.h"

namespace steppe::vm {
namespace {

constexpr unsigned long kSquashfs = 0x73717368;

// Names of the processes that are no kernel threads, by the program they run.
std::string programs() {
  std::string out;
  DIR* proc = ::opendir("/proc");
  while (dirent* entry = ::readdir(proc)) {
    char* end;
    long pid = std::strtol(entry->d_name, &end, 10);
    if (*end != 0 || pid <= 0) continue;
    char exe[256];
    ssize_t n = ::readlink((std::string("/proc/") + entry->d_name + "/exe").c_str(), exe, sizeof exe);
    if (n <= 0) continue;  // kernel threads have none
    out += std::string(exe, static_cast<size_t>(n)) + " ";
  }
  ::closedir(proc);
  return out;
}

int count_of(const std::string& text, const std::string& word) {
  int count = 0;
  for (size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + word.size())) ++count;
  return count;
}

void check_processes() {
  std::string all = programs();
  // PID 1 and its two children; the probe itself; the agent, which may have an executor standing by.
  int init = count_of(all, "/init (deleted) "), probe = count_of(all, "/usr/bin/steppe "), agent = count_of(all, "/usr/bin/steppe-agent ");
  int standby = count_of(all, "/memfd:steppe-executor"), words = 0;
  for (size_t at = 0; at < all.size(); at = all.find(' ', at) + 1) {
    if (all.compare(at, 10, "(deleted) ") != 0) ++words;
  }
  expect(init == 3 && probe == 1 && agent == 1 && words == 5 + standby, "processes", all);
}

void check_root() {
  struct statfs root;
  ::statfs("/", &root);
  expect(static_cast<unsigned long>(root.f_type) == kSquashfs, "root is squashfs", std::to_string(root.f_type));
  expect(::mkdir("/x", 0755) != 0 && errno == EROFS, "root is read-only", std::strerror(errno));
  int pid = ::fork();
  if (pid == 0) {
    bool pivoted = ::unshare(CLONE_NEWNS) == 0 && ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                   ::mount("tmpfs", "/tmp", "tmpfs", 0, nullptr) == 0 && ::mkdir("/tmp/old", 0755) == 0 &&
                   ::syscall(SYS_pivot_root, "/tmp", "/tmp/old") == 0;
    ::_exit(pivoted ? 0 : errno);
  }
  int status;
  ::waitpid(pid, &status, 0);
  expect(status == 0, "pivot_root works", std::to_string(status));
}

void check_mounts() {
  for (const char* path : {"/run", "/tmp"}) {
    struct statvfs st;
    ::statvfs(path, &st);
    constexpr unsigned long kWanted = ST_NOSUID | ST_NODEV | ST_NOEXEC;
    expect((st.f_flag & kWanted) == kWanted, std::string("flags of ") + path, std::to_string(st.f_flag));
  }
  expect(write_file("/var/lib-test", "x"), "/var is writable", std::strerror(errno));
  expect(::access("/dev/pts/ptmx", F_OK) == 0 && ::access("/dev/shm", W_OK) == 0, "/dev/pts and /dev/shm", "");
}

void check_cgroups(int agent) {
  expect(read_file("/proc/1/cgroup") == "0::/init\n", "PID 1's cgroup", read_file("/proc/1/cgroup"));
  std::string of_agent = read_file("/proc/" + std::to_string(agent) + "/cgroup");
  expect(of_agent == "0::/services/agent\n", "the agent's cgroup", of_agent);
  expect(read_file("/sys/fs/cgroup/init/memory.min") == "8388608\n", "memory.min of PID 1", "");
  std::string have = read_file("/sys/fs/cgroup/cgroup.controllers"), down = read_file("/sys/fs/cgroup/nomad.slice/cgroup.subtree_control");
  expect(have == down && have.find("cpu") != std::string::npos && have.find("memory") != std::string::npos, "every controller is handed down", have + "/" + down);
}

void check_modules_and_watchdog() {
  expect(::access("/sys/module/virtio_net", F_OK) == 0, "a module by modalias", "virtio_net is not loaded");
  expect(::access("/sys/module/isofs", F_OK) != 0, "isofs is not loaded yet", "");
  (void)::mount("none", "/tmp", "iso9660", 0, nullptr);  // asks the kernel, which asks PID 1's program
  expect(::access("/sys/module/isofs", F_OK) == 0, "a module by the kernel's request", "isofs is not loaded");
  std::string first = read_file("/sys/class/watchdog/watchdog0/identity"), second = read_file("/sys/class/watchdog/watchdog1/identity");
  bool software_first = first == "Software Watchdog\n";
  expect(software_first ? second.find("i6300") != std::string::npos : first.find("i6300") != std::string::npos, "two watchdogs", first + second);
  int hardware = ::open(software_first ? "/dev/watchdog1" : "/dev/watchdog0", O_WRONLY | O_CLOEXEC);
  expect(hardware < 0 && errno == EBUSY, "PID 1 holds the hardware watchdog", std::strerror(errno));
  int software = ::open(software_first ? "/dev/watchdog0" : "/dev/watchdog1", O_WRONLY | O_CLOEXEC);
  expect(software >= 0, "and not the software one", std::strerror(errno));
  (void)!::write(software, "V", 1);
}

void check_pid_one() {
  DIR* fds = ::opendir("/proc/1/fdinfo");
  int checked = 0;
  while (dirent* entry = ::readdir(fds)) {
    int fd = std::atoi(entry->d_name);
    if (entry->d_name[0] == '.' || fd <= 2) continue;
    std::string info = read_file("/proc/1/fdinfo/" + std::string(entry->d_name));
    size_t flags = info.find("flags:\t");
    bool closes = (std::strtol(info.c_str() + flags + 7, nullptr, 8) & O_CLOEXEC) != 0;
    if (!closes) bad("PID 1's descriptors", info);
    ++checked;
  }
  ::closedir(fds);
  expect(checked > 5, "PID 1's descriptors", "too few");
  timespec now;
  ::clock_gettime(CLOCK_REALTIME, &now);
  expect(now.tv_sec >= boot::kSourceEpoch, "the clock", std::to_string(now.tv_sec));
  expect(read_file("/proc/sys/kernel/printk_devkmsg") == "on\n", "the kernel's log takes every line", read_file("/proc/sys/kernel/printk_devkmsg"));
  expect(read_file("/proc/sys/kernel/modprobe") == "/proc/1/exe\n", "the kernel's module helper", read_file("/proc/sys/kernel/modprobe"));
}

int switches() {
  std::string status = read_file("/proc/1/status");
  size_t at = status.find("voluntary_ctxt_switches:\t") + 25;
  return std::atoi(status.c_str() + at);
}

// utime and stime, fields 14 and 15 of proc_pid_stat(5).
std::string cpu_time() {
  std::string stat = read_file("/proc/1/stat");
  size_t at = stat.rfind(") ") + 2;
  for (int i = 0; i < 11; ++i) at = stat.find(' ', at) + 1;
  return stat.substr(at, stat.find(' ', stat.find(' ', at) + 1) - at);
}

void tell_costs() {
  std::string memory = read_file("/proc/meminfo"), init = read_file("/proc/1/status");
  auto line = [](const std::string& text, const char* key) {
    size_t at = text.find(key);
    return at == std::string::npos ? std::string("?") : text.substr(at, text.find('\n', at) - at);
  };
  info(line(memory, "MemTotal") + ", " + line(memory, "MemAvailable") + "; PID 1 " + line(init, "VmRSS") + ", " + line(init, "RssAnon"));
  // PID 1's own time holds the kernel's start, which ran as it.
  info("CPU hundredths of PID 1, user and kernel: " + cpu_time());
}

}  // namespace

// An address, a route and a name server by DHCP, from QEMU's own server; and the machine's settings, which fw_cfg had.
void check_network() {
  std::string routes, seen;
  for (int i = 0; i < 600 && !routes.contains("\t0202000A\t"); ++i) {  // the default route by 10.0.2.2, least byte first
    pause_ms(100);
    routes = read_file("/proc/net/route");
  }
  expect(routes.contains("\t00000000\t0202000A\t"), "the default route by DHCP", routes + read_file("/var/log/steppe/services.log"));
  expect(read_file("/proc/net/fib_trie").contains("10.0.2.15"), "the address by DHCP", "");
  for (int i = 0; i < 600 && seen.empty(); ++i) {
    pause_ms(100);
    seen = read_file("/run/steppe/network/resolv.conf.d/resolv.conf");
  }
  expect(seen.contains("nameserver 10.0.2.3\n"), "the name server by DHCP", seen);
  expect(read_file("/proc/sys/kernel/hostname") == "vm-7\n", "the host name by fw_cfg", read_file("/proc/sys/kernel/hostname"));
  const std::string agent = read_file("/run/steppe/agent.d/20-machine.hcl");
  expect(agent.contains("datacenter = \"cellar\""), "the agent's settings by fw_cfg", agent);
}

void check_idle() {
  int before = switches(), after;
  std::string then = cpu_time();
  pause_ms(10'000);
  after = switches();
  info("PID 1 in ten seconds: context switches " + std::to_string(before) + " to " + std::to_string(after) + ", CPU hundredths " + then + " to " + cpu_time());
  expect(after - before < 500, "a PID 1 with nothing to do sleeps", std::to_string(after - before));
}

void check_inside(int agent) {
  tell_costs();
  check_root();
  check_mounts();
  check_cgroups(agent);
  check_modules_and_watchdog();
  check_pid_one();
  check_processes();
}

}  // namespace steppe::vm
