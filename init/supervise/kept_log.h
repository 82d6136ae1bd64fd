#pragma once

#include <time.h>

#include <string>
#include <string_view>

#include "init/sys/kernel/fd.h"

namespace steppe::supervise {

// `services.log` of a directory, of bounded size, and its predecessor `services.log.1`. What cannot be written is lost, and the next
// is tried again.
class LogFile {
 public:
  explicit LogFile(size_t limit) : limit_(limit) {}
  bool open(const std::string& directory);  // false: no such directory, or the file cannot be made
  void write(std::string_view bytes);
  // All that another one has, oldest first.
  void take_over(const LogFile& from);

 private:
  bool open_file();

  size_t limit_;
  kernel::Fd directory_, file_;
  size_t used_ = 0;
};

// Where a machine's log is, in memory and on the disk.
struct LogPlaces {
  std::string memory = "/var/log/steppe";  // is made
  std::string ready = "/run/steppe/state"; // is there once the state partition is in use
  std::string state = "/state";            // with `log` below
  size_t memory_limit = 1 << 20, disk_limit = 4 << 20;
};

// This boot's log: in memory, and on the disk from its beginning on once there is one. There each boot begins with a line
// "steppe-log 1 boot=ID time=UNIX SECONDS". One thread; writes as slowly as the disk is.
class KeptLog {
 public:
  explicit KeptLog(LogPlaces places) : places_(std::move(places)), memory_(places_.memory_limit), disk_(places_.disk_limit) {}
  bool open();
  void write(std::string_view bytes);
  // Notes the clock on the disk (boot/machine_clock.h) when the last time is an hour ago. How many milliseconds until the next; -1 without
  // a disk.
  int keep_clock();

 private:
  void look_for_disk();

  LogPlaces places_;
  LogFile memory_, disk_;
  bool on_disk_ = false;
  time_t clock_due_ = 0;
};

}  // namespace steppe::supervise
