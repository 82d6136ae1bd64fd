#include "init/supervise/kept_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "init/boot/machine_clock.h"

namespace steppe::supervise {
namespace {

constexpr time_t kClockSeconds = 3600;

time_t seconds_now(clockid_t clock) {
  timespec now = {};
  ::clock_gettime(clock, &now);
  return now.tv_sec;
}

std::string boot_id() {
  char id[36];
  kernel::Fd file(::open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC));
  const ssize_t size = file.valid() ? ::read(file.get(), id, sizeof id) : 0;
  return std::string(id, size > 0 ? static_cast<size_t>(size) : 0);
}

}  // namespace

bool LogFile::open(const std::string& directory) {
  directory_ = kernel::Fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  return directory_.valid() && open_file();
}

void LogFile::write(std::string_view bytes) {
  if (used_ + bytes.size() > limit_) {
    if (::renameat(directory_.get(), "services.log", directory_.get(), "services.log.1") != 0) (void)::unlinkat(directory_.get(), "services.log", 0);
    file_.reset();
  }
  if (!file_.valid() && !open_file()) return;
  if (ssize_t written = ::write(file_.get(), bytes.data(), bytes.size()); written > 0) used_ += static_cast<size_t>(written);
}

void LogFile::take_over(const LogFile& from) {
  char bytes[16'384];
  for (const char* name : {"services.log.1", "services.log"}) {
    kernel::Fd file(::openat(from.directory_.get(), name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    for (ssize_t size; file.valid() && (size = ::read(file.get(), bytes, sizeof bytes)) > 0;) write({bytes, static_cast<size_t>(size)});
  }
}

bool LogFile::open_file() {
  file_ = kernel::Fd(::openat(directory_.get(), "services.log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640));
  struct stat st;
  used_ = file_.valid() && ::fstat(file_.get(), &st) == 0 ? static_cast<size_t>(st.st_size) : 0;
  return file_.valid();
}

bool KeptLog::open() {
  (void)::mkdir(places_.memory.substr(0, places_.memory.rfind('/')).c_str(), 0755);
  (void)::mkdir(places_.memory.c_str(), 0750);
  return memory_.open(places_.memory);
}

void KeptLog::write(std::string_view bytes) {
  memory_.write(bytes);
  if (on_disk_) disk_.write(bytes);
  else look_for_disk();
}

void KeptLog::look_for_disk() {
  if (::access(places_.ready.c_str(), F_OK) != 0 || !disk_.open(places_.state + "/log")) return;
  on_disk_ = true;
  disk_.write("steppe-log 1 boot=" + boot_id() + " time=" + std::to_string(seconds_now(CLOCK_REALTIME)) + "\n");
  disk_.take_over(memory_);
}

int KeptLog::keep_clock() {
  if (!on_disk_) return -1;
  const time_t now = seconds_now(CLOCK_BOOTTIME);
  if (now >= clock_due_) {
    kernel::Fd state(::open(places_.state.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    boot::keep_clock(state.get());
    clock_due_ = now + kClockSeconds;
  }
  return static_cast<int>(clock_due_ - now) * 1000;
}

}  // namespace steppe::supervise
