#include "tests/vm/probe/kept.h"

#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

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

}  // namespace

void check_storage() {
  expect(type_at("/state") == "ext4" && flags_are("/state", ST_NOSUID | ST_NODEV | ST_NOEXEC), "/state is a partition", type_at("/state"));
  expect(type_at("/data") == "ext4" && flags_are("/data", ST_NOSUID | ST_NODEV), "/data is a partition", type_at("/data"));
  expect(type_at("/efi") == "vfat" && flags_are("/efi", ST_NOSUID | ST_NODEV | ST_NOEXEC), "/efi is the ESP", type_at("/efi"));
  struct stat st;
  if (::stat("/state/agent/kept", &st) != 0) {
    (void)::mkdir("/state/agent", 0700);
    (void)::mkdir("/data/alloc", 0700);
    expect(write_file("/state/agent/kept", kLeft) && write_file("/data/alloc/kept", kLeft), "the machine begins", std::strerror(errno));
    std::fputs("VM a line of the first start\n", stderr);  // the services' log
    return;
  }
  expect(read_file("/state/agent/kept") == kLeft && read_file("/data/alloc/kept") == kLeft, "what was kept", read_file("/state/agent/kept"));
}

}  // namespace steppe::vm
