#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "init/base/result.h"

namespace steppe::schema {
class MachineDisksReply;
class MachineDmesgReply;
class MachineInfoReply;
class MachineLogsReply;
class MachineMountsReply;
class MachineProcessesReply;
class MachineTimeReply;
}  // namespace steppe::schema

namespace steppe::machine_api {

// What the kernel says of the machine, read below `root` ("/", but in tests). All block, none waits; what cannot be read is left out or is
// the error. Thread-safe.
class MachineView {
 public:
  static constexpr int64_t kMaxLines = 5'000, kUsualLines = 200;  // of logs
  static constexpr size_t kMaxProcesses = 4'096, kMaxDisks = 256, kMaxMounts = 1'024;

  explicit MachineView(std::string root) : root_(std::move(root)) {}

  Result<> info(schema::MachineInfoReply& reply) const;
  Result<> dmesg(int64_t lines, schema::MachineDmesgReply& reply) const;  // the last ones; 0: kUsualLines
  Result<> logs(int64_t lines, schema::MachineLogsReply& reply) const;    // of the services
  Result<> disks(schema::MachineDisksReply& reply) const;
  Result<> mounts(schema::MachineMountsReply& reply) const;
  Result<> processes(schema::MachineProcessesReply& reply) const;
  Result<> time(int64_t now_unix_ns, schema::MachineTimeReply& reply) const;

  // When the running image was built; nullopt where that is not known.
  std::optional<int64_t> built_unix_s() const;
  // Whether /state is a file system that outlives this start, or the machine has no partition for one.
  Result<bool> state_is_kept() const;

 private:
  std::string path(std::string_view below) const { return root_ + std::string(below); }
  std::string root_;
};

// One record of /dev/kmsg ("6,339,5140900,-;text\n KEY=value\n"). Pure.
struct KernelLine {
  int64_t since_boot_us = 0;
  int level = 0;
  std::string_view text;
};
std::optional<KernelLine> parse_kmsg(std::string_view record);

// A line of /proc/PID/stat; the name may hold anything, also ')'. Pure.
struct ProcessStat {
  int64_t pid = 0, parent = 0, threads = 0, ticks = 0, resident_pages = 0;
  char state = '?';
  std::string_view name;
};
std::optional<ProcessStat> parse_process_stat(std::string_view text);

// The last `count` lines of a text, without an unfinished first one where `cut` says that the text has no beginning. Pure.
std::vector<std::string_view> last_lines(std::string_view text, size_t count, bool cut);

}  // namespace steppe::machine_api
