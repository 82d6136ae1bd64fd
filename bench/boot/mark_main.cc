// What the machine has used so far, on its console, at two moments of a start; for bench/boot/run, which puts this program into
// images under other names. Static, libc only.
//
//   /init             says "start"; then it becomes /init.real, or, where there is none, a bare init: "ready" at once, and off
//   /usr/bin/steppe   runs /usr/bin/steppe-agent in its place until that says READY=1; "ready", and off
//   any other name    "ready", and off
//
// BENCH start|ready cpu_ns=N used_kib=N total_kib=N shmem_kib=N slab_kib=N anon_kib=N
//   cpu_ns: time that anything but the idle task ran (/proc/schedstat); used: what cannot be given back.
#include <fcntl.h>
#include <linux/reboot.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

namespace {

std::string read_file(const char* path) {
  std::string out(65536, '\0');
  const int file = ::open(path, O_RDONLY | O_CLOEXEC);
  size_t size = 0;
  for (ssize_t got; file >= 0 && size < out.size() && (got = ::read(file, out.data() + size, out.size() - size)) > 0;) size += static_cast<size_t>(got);
  if (file >= 0) ::close(file);
  out.resize(size);
  return out;
}

// The seventh number of every line "cpuN ...": nanoseconds that tasks ran on it (Documentation/scheduler/sched-stats.rst).
unsigned long long processor_ns() {
  const std::string text = read_file("/proc/schedstat");
  unsigned long long sum = 0, number = 0;
  for (size_t at = 0; (at = text.find("\ncpu", at)) != text.npos; ++at) {
    if (std::sscanf(text.c_str() + at, "\ncpu%*u %*u %*u %*u %*u %*u %*u %llu", &number) == 1) sum += number;
  }
  return sum;
}

long long kib(const std::string& meminfo, const char* name) {
  const size_t at = meminfo.find(std::string("\n") + name + ":");
  return at == meminfo.npos ? 0 : std::atoll(meminfo.c_str() + at + std::strlen(name) + 2);
}

void mark(const char* moment) {
  const unsigned long long spent = processor_ns();
  const std::string memory = "\n" + read_file("/proc/meminfo");
  const long long total = kib(memory, "MemTotal"), shared = kib(memory, "Shmem");
  const long long used = total - kib(memory, "MemFree") - kib(memory, "Buffers") - (kib(memory, "Cached") - shared) - kib(memory, "SReclaimable");
  char line[256];
  const int size = std::snprintf(line, sizeof line, "\nBENCH %s cpu_ns=%llu used_kib=%lld total_kib=%lld shmem_kib=%lld slab_kib=%lld anon_kib=%lld\n", moment, spent,
                                 used, total, shared, kib(memory, "SUnreclaim"), kib(memory, "AnonPages"));
  const int console = ::open("/dev/console", O_WRONLY | O_NOCTTY | O_CLOEXEC);
  if (console >= 0) (void)!::write(console, line, static_cast<size_t>(size));
  if (console >= 0) ::close(console);
}

[[noreturn]] void off() {
  ::reboot(RB_POWER_OFF);
  for (;;) ::pause();
}

void run_agent(char** argv) {
  const int inbox = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, "/run/bench-notify");
  if (::bind(inbox, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return;
  ::setenv("NOTIFY_SOCKET", address.sun_path, 1);
  if (::fork() == 0) {
    ::execv("/usr/bin/steppe-agent", argv);
    ::_exit(127);
  }
  char text[4096];
  for (ssize_t size; (size = ::recv(inbox, text, sizeof text, 0)) > 0;) {
    if (std::string_view(text, static_cast<size_t>(size)).find("READY=1") != std::string_view::npos) return;
  }
}

}  // namespace

int main(int, char** argv) {
  if (::getpid() != 1) {
    if (std::string_view(argv[0]) == "/usr/bin/steppe") run_agent(argv);
    mark("ready");
    off();
  }
  for (const char* path : {"/dev", "/proc"}) ::mkdir(path, 0755);
  ::mount("devtmpfs", "/dev", "devtmpfs", 0, nullptr);
  ::mount("proc", "/proc", "proc", 0, nullptr);
  mark("start");
  if (::access("/init.real", X_OK) == 0) {
    // As the kernel left it.
    ::umount("/proc");
    ::umount("/dev");
    argv[0] = const_cast<char*>("init");
    ::execv("/init.real", argv);
  }
  mark("ready");
  off();
}
