#include "tests/vm/probe/extensions.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "tests/vm/probe/report.h"

namespace steppe::vm {
namespace {

constexpr const char* kDrivers = "/run/steppe/extensions/drivers";
constexpr const char* kLateFile = "/run/vm/from/late.ext";
constexpr const char* kLatePattern = "/run/vm/extensions/late/usr/share/late/pattern";

bool run(const char* program, const char* const* argv) {
  if (::fork() == 0) {
    ::execv(program, const_cast<char* const*>(argv));
    ::_exit(127);
  }
  int status = 0;
  return ::wait(&status) > 0 && status == 0;
}

void check_use() {
  struct statvfs st = {};
  const bool mounted = ::statvfs(kDrivers, &st) == 0 && (st.f_flag & (ST_RDONLY | ST_NOSUID | ST_NODEV)) == (ST_RDONLY | ST_NOSUID | ST_NODEV);
  expect(mounted, "drivers is mounted", std::to_string(st.f_flag));
  expect(read_file("/run/steppe/firmware/steppe-vm.bin") == "firmware" &&
             read_file("/sys/module/firmware_class/parameters/path").starts_with("/run/steppe/firmware"),
         "firmware of an extension", read_file("/sys/module/firmware_class/parameters/path"));
  static constexpr const char* kAsk[] = {"steppe-init", "-q", "--", "dummy", nullptr};
  struct stat module;
  const bool before = ::stat("/sys/module/dummy", &module) == 0, asked = run("/proc/1/exe", kAsk);
  expect(!before && asked && ::stat("/sys/module/dummy", &module) == 0, "a module of an extension, by name", std::strerror(errno));
  await_log("watchdog i6300");  // its driver is in the extension, too, and was asked for before that was there
}

// The errno of reading all of the file, 0 when that went well.
int read_through(const char* path) {
  const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return errno;
  char bytes[4096];
  ssize_t got;
  while ((got = ::read(fd, bytes, sizeof bytes)) > 0) {
  }
  const int error = got < 0 ? errno : 0;
  ::close(fd);
  return error;
}

// One bit in the middle of the pattern, which lies in the file as it is: nothing makes it smaller.
bool flip_below() {
  const std::string pattern = read_file("/usr/share/vm/pattern"), file = read_file(kLateFile);
  const size_t at = file.find(pattern.substr(4096, 64));
  if (pattern.size() < 8192 || at == std::string::npos) return false;
  const int fd = ::open(kLateFile, O_WRONLY | O_CLOEXEC);
  const char changed = static_cast<char>(file[at] ^ 1);
  const bool written = fd >= 0 && ::pwrite(fd, &changed, 1, static_cast<off_t>(at)) == 1;
  ::close(fd);
  return written;
}

}  // namespace

void check_extensions(bool flips) {
  check_use();
  for (const char* directory : {"/run/vm", "/run/vm/from"}) (void)::mkdir(directory, 0755);
  expect(write_file(kLateFile, read_file("/usr/share/vm/late.ext")), "a file comes late", std::strerror(errno));
  static constexpr const char* kAgain[] = {"steppe-node", "extensions", "-run", "/run/vm", "-from", "/run/vm/from", nullptr};
  const bool again = run("/usr/bin/steppe-node", kAgain);
  expect(again && read_file("/run/vm/extensions/late/usr/share/late/first") == "first", "one that came late", std::to_string(again));
  if (flips) expect(flip_below(), "a bit is changed", "not found");
  write_file("/proc/sys/vm/drop_caches", "3\n");
  const int error = read_through(kLatePattern);
  expect(error == EIO, "a block that was changed is an I/O error", std::strerror(error));
  expect(read_through("/run/vm/extensions/late/usr/share/late/first") == 0, "the others are as they were", "");
}

void check_refused_extensions() {
  for (const char* name : {"forged", "damaged", "other"}) {
    struct stat st;
    const std::string target = std::string("/run/steppe/extensions/") + name + "/usr", said = std::string("extensions: ") + name + " refused: ";
    expect(::stat((std::string("/run/steppe/extensions/") + name + "/a").c_str(), &st) != 0 && ::stat(target.c_str(), &st) != 0 && count_in_log(said) > 0,
           std::string(name) + " is refused", said);
  }
}

}  // namespace steppe::vm
