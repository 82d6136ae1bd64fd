#include "tests/vm/probe/kept.h"

#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>

#include "tests/vm/probe/report.h"

namespace steppe::vm {
namespace {

constexpr const char* kLeft = "what the first start left\n";

bool flags_are(const char* path, unsigned long wanted) {
  struct statvfs st;
  constexpr unsigned long kAll = ST_NOSUID | ST_NODEV | ST_NOEXEC | ST_RDONLY;
  return ::statvfs(path, &st) == 0 && (st.f_flag & kAll) == wanted;
}

// The last line of mountinfo that is about the place is the one that is seen there.
std::string type_at(const std::string& path) {
  std::string mounts = read_file("/proc/self/mountinfo"), found;
  for (size_t at = 0, end; (end = mounts.find('\n', at)) != std::string::npos; at = end + 1) {
    const std::string line = mounts.substr(at, end - at);
    if (line.find(" " + path + " ") == std::string::npos) continue;
    const size_t dash = line.find(" - ");
    found = line.substr(dash + 3, line.find(' ', dash + 3) - dash - 3);
  }
  return found;
}

void check_kept() {
  struct stat st;
  if (::stat("/state/agent/kept", &st) != 0) {
    (void)::mkdir("/state/agent", 0700);
    (void)::mkdir("/data/alloc", 0700);
    expect(write_file("/state/agent/kept", kLeft) && write_file("/data/alloc/kept", kLeft), "the machine begins", std::strerror(errno));
    std::fputs("VM-LOG a line of the first start\n", stderr);
    return;
  }
  expect(read_file("/state/agent/kept") == kLeft && read_file("/data/alloc/kept") == kLeft, "what was kept", read_file("/state/agent/kept"));
  const std::string log = read_file("/state/log/services.log"), end = read_file("/run/steppe/last-end"), ends = read_file("/state/log/ends");
  expect(log.find("VM-LOG a line of the first start\n") != std::string::npos, "the log of the first start", log);
  expect(log.find("steppe-log 1 boot=") == 0 && log.find("steppe-log 1 boot=", 1) != std::string::npos, "and of this one", log);
  expect(end.find("orderly yes\nsteppe-end 1\nending reboot\nreason 3 ctrl-alt-del\n") == 0, "why the first start ended", end);
  expect(ends.find(" reboot ctrl-alt-del\n") != std::string::npos, "in the list of ends, too", ends);
  struct stat clock;
  expect(::stat("/state/seed", &st) == 0 && st.st_size == 84 && (st.st_mode & 077) == 0, "the random seed", "");
  expect(::stat("/state/clock", &clock) == 0 && clock.st_mtime > 1'700'000'000, "the clock", "");
}

// PID 1 mounts memory there before anything else.
void check_in_memory() {
  expect(type_at("/state") == "tmpfs" && flags_are("/state", ST_NOSUID | ST_NODEV | ST_NOEXEC), "/state is in memory", type_at("/state"));
  expect(write_file("/state/x", "x"), "and can be written", std::strerror(errno));
}

}  // namespace

void check_storage(std::string_view name) {
  expect(type_at("/data") == "ext4" && flags_are("/data", ST_NOSUID | ST_NODEV), "/data is a partition", type_at("/data"));
  expect(type_at("/efi") == "vfat" && flags_are("/efi", ST_NOSUID | ST_NODEV | ST_NOEXEC), "/efi is the ESP", type_at("/efi"));
  if (name.starts_with("state-corrupt") || name.starts_with("state-missing")) return check_in_memory();
  expect(type_at("/state") == "ext4" && flags_are("/state", ST_NOSUID | ST_NODEV | ST_NOEXEC), "/state is a partition", type_at("/state"));
  if (!name.starts_with("state-full")) return check_kept();
  expect(write_file("/state/x", std::string(1 << 20, 'x')), "a full state partition has room again", std::strerror(errno));
  expect(read_file("/run/steppe/storage").find("\nstate /dev/vda2 ") != std::string::npos, "and is in use", read_file("/run/steppe/storage"));
}

}  // namespace steppe::vm
