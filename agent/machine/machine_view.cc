#include "agent/machine/machine_view.h"

#include <fcntl.h>
#include <sys/timex.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <map>

#include "agent/schema/machine.pb.h"
#include "init/base/text.h"
#include "init/sys/kernel/beneath.h"
#include "init/sys/kernel/file_access.h"
#include "init/sys/kernel/host_file.h"
#include "init/sys/kernel/mounts.h"
#include "init/upgrade/manifest.h"

namespace steppe::machine_api {

namespace {

constexpr uint64_t kSector = 512;  // the unit of /sys/block/*/size, whatever the disk's own is
constexpr size_t kLogTail = 1 << 20;
// Where the services' log is: kept on the state partition, or in memory.
constexpr const char* kServiceLogs[] = {"/state/log/services.log", "/var/log/steppe/services.log"};
constexpr const char* kLastEnd = "/run/steppe/last-end";

// The first line of a small file of /sys or /proc; "" when it cannot be read.
std::string line_of(const std::string& path) {
  Result<std::string> text = kernel::read_host_file(path, Bytes::kib(64));
  return text.ok() ? std::string(trim(std::string_view(*text).substr(0, text->find('\n')))) : "";
}

uint64_t number_of(std::string_view text) { return parse_uint(text).value_or(0); }

// VALUE of "KEY<separator>VALUE" among lines.
std::string value_of(std::string_view lines, std::string_view key, char separator) {
  for (const std::string_view line : split(lines, '\n')) {
    if (line.size() > key.size() && line.starts_with(key) && line[key.size()] == separator) return std::string(trim(line.substr(key.size() + 1)));
  }
  return "";
}

uint64_t kib_of(std::string_view meminfo, std::string_view key) {
  const std::string value = value_of(meminfo, key, ':');
  return number_of(value.substr(0, value.find(' '))) * 1024;
}

int64_t uptime_s(const std::string& path) {
  const std::string text = line_of(path);
  return static_cast<int64_t>(number_of(text.substr(0, text.find('.'))));
}

// "reboot: asked for: drained" from the record of the machine's last end (init/supervise/end_record.h), as it is kept for this boot with
// a first line that says whether there was one.
std::string end_text(std::string_view record) {
  const std::string orderly = value_of(record, "orderly", ' '), ending = value_of(record, "ending", ' '), why = value_of(record, "why", ' ');
  if (orderly == "no") return "not in order: a power cut, a crash or a reset";
  if (orderly != "yes" || ending.empty()) return "";
  const std::string reason = value_of(record, "reason", ' ');
  std::string text = ending + ": " + reason.substr(std::min(reason.size(), reason.find(' ') + 1));
  return why.empty() ? text : text + ": " + why;
}

Result<upgrade::Manifest> running_manifest(const std::string& path) {
  STEPPE_TRY(const std::string bytes, kernel::read_host_file(path, Bytes{upgrade::kMaxManifest}));
  return upgrade::decode_manifest(as_bytes(bytes));
}

size_t wanted_lines(int64_t lines) {
  if (lines <= 0) return MachineView::kUsualLines;
  return static_cast<size_t>(std::min(lines, MachineView::kMaxLines));
}

// The end of a file; whether something stands before it.
Result<std::pair<std::string, bool>> tail_of(const std::string& path) {
  STEPPE_TRY(const kernel::Fd file, kernel::open_host(path, O_RDONLY | O_NONBLOCK));
  STEPPE_TRY(const kernel::FileInfo info, kernel::stat_fd(file, path));
  const uint64_t size = info.size.count, from = size > kLogTail ? size - kLogTail : 0;
  std::string text(size - from, '\0');
  size_t got = 0;
  while (got < text.size()) {
    STEPPE_TRY(const size_t more, kernel::read_at(file, from + got, std::as_writable_bytes(std::span(text)).subspan(got)));
    if (more == 0) break;
    got += more;
  }
  text.resize(got);
  return std::pair(std::move(text), from > 0);
}

using MountedOn = std::map<std::string, std::string>;  // "8:1" -> "/efi"

void add_partition(const std::string& directory, const std::string& name, const MountedOn& mounted, schema::MachineDisk& disk) {
  schema::MachinePartition& partition = *disk.add_partitions();
  partition.set_name(name);
  partition.set_size(number_of(line_of(directory + "/size")) * kSector);
  const Result<std::string> event = kernel::read_host_file(directory + "/uevent", Bytes::kib(4));
  if (event.ok()) partition.set_label(value_of(*event, "PARTNAME", '='));
  const auto at = mounted.find(line_of(directory + "/dev"));
  if (at != mounted.end()) partition.set_mounted_on(at->second);
}

}  // namespace

std::optional<KernelLine> parse_kmsg(std::string_view record) {
  const size_t end = record.find(';');
  if (end == std::string_view::npos) return std::nullopt;
  const std::vector<std::string_view> head = split(record.substr(0, end), ',');
  if (head.size() < 3) return std::nullopt;
  const Result<uint64_t> priority = parse_uint(head[0]), since = parse_uint(head[2]);
  if (!priority.ok() || !since.ok() || *since > INT64_MAX) return std::nullopt;
  const std::string_view text = record.substr(end + 1);
  return KernelLine{static_cast<int64_t>(*since), static_cast<int>(*priority % 8), text.substr(0, text.find('\n'))};
}

std::optional<ProcessStat> parse_process_stat(std::string_view text) {
  const size_t open = text.find(" ("), close = text.rfind(") ");
  if (open == std::string_view::npos || close == std::string_view::npos || close < open) return std::nullopt;
  ProcessStat stat;
  stat.name = text.substr(open + 2, close - open - 2);
  const Result<int64_t> pid = parse_int(text.substr(0, open));
  // proc_pid_stat(5): what follows is field 3 and on.
  const std::vector<std::string_view> fields = split(text.substr(close + 2), ' ');
  const auto field = [&](size_t number) -> Result<int64_t> {
    if (fields.size() <= number - 3) return {Code::kCorrupt, "short"};
    return parse_int(trim(fields[number - 3]));
  };
  const Result<int64_t> parent = field(4), user = field(14), system = field(15), threads = field(20), resident = field(24);
  if (!pid.ok() || fields[0].size() != 1 || !parent.ok() || !user.ok() || !system.ok() || !threads.ok() || !resident.ok()) return std::nullopt;
  stat.pid = *pid, stat.parent = *parent, stat.threads = *threads, stat.ticks = *user + *system, stat.resident_pages = *resident;
  stat.state = fields[0][0];
  return stat;
}

std::vector<std::string_view> last_lines(std::string_view text, size_t count, bool cut) {
  std::vector<std::string_view> lines;
  if (cut) text.remove_prefix(std::min(text.size(), text.find('\n') == std::string_view::npos ? text.size() : text.find('\n') + 1));
  if (text.ends_with('\n')) text.remove_suffix(1);
  while (!text.empty() && lines.size() < count) {
    const size_t before = text.rfind('\n');
    lines.push_back(text.substr(before == std::string_view::npos ? 0 : before + 1));
    text = before == std::string_view::npos ? std::string_view() : text.substr(0, before);
  }
  std::ranges::reverse(lines);
  return lines;
}

std::optional<int64_t> MachineView::built_unix_s() const {
  const Result<upgrade::Manifest> manifest = running_manifest(path("/run/steppe/manifest"));
  if (!manifest.ok()) return std::nullopt;
  return static_cast<int64_t>(manifest->built_unix_s);
}

Result<> MachineView::info(schema::MachineInfoReply& reply) const {
  STEPPE_TRY(const std::string memory, kernel::read_host_file(path("/proc/meminfo")));
  reply.set_name(line_of(path("/proc/sys/kernel/hostname")));
  reply.set_kernel(line_of(path("/proc/sys/kernel/osrelease")));
  reply.set_boot_id(line_of(path("/proc/sys/kernel/random/boot_id")));
  reply.set_uptime_s(uptime_s(path("/proc/uptime")));
  reply.set_memory_total(kib_of(memory, "MemTotal"));
  reply.set_memory_available(kib_of(memory, "MemAvailable"));
  reply.set_processors(::sysconf(_SC_NPROCESSORS_ONLN));
  reply.set_last_end(end_text(kernel::read_host_file(path(kLastEnd), Bytes::kib(4)).value_or("")));
  const Result<upgrade::Manifest> manifest = running_manifest(path("/run/steppe/manifest"));
  if (!manifest.ok()) return {};  // a kernel that was started with an initrd of its own
  reply.set_version(manifest->version);
  reply.set_arch(manifest->arch);
  reply.set_security_version(manifest->security_version);
  reply.set_build_id(hex(manifest->build_id));
  reply.set_built_unix_s(static_cast<int64_t>(manifest->built_unix_s));
  return {};
}

Result<> MachineView::dmesg(int64_t lines, schema::MachineDmesgReply& reply) const {
  STEPPE_TRY(const kernel::Fd log, kernel::open_host(path("/dev/kmsg"), O_RDONLY | O_NONBLOCK));
  const size_t wanted = wanted_lines(lines);
  std::deque<schema::MachineLogLine> kept;
  char record[8 << 10];
  // A kernel that writes faster than this reads does not hold it here for ever.
  for (size_t i = 0; i < 200'000; ++i) {
    const ssize_t size = ::read(log.get(), record, sizeof record);
    if (size < 0 && (errno == EPIPE || errno == EINTR)) continue;  // overwritten meanwhile: the next one is what is oldest now
    if (size < 0 && errno != EAGAIN) return Error::from_errno(errno, "read the kernel's log");
    if (size <= 0) break;
    const auto line = parse_kmsg({record, static_cast<size_t>(size)});
    if (!line) continue;
    if (kept.size() == wanted) kept.pop_front();
    schema::MachineLogLine& row = kept.emplace_back();
    row.set_since_boot_us(line->since_boot_us);
    row.set_level(line->level);
    row.set_text(std::string(line->text));
  }
  for (schema::MachineLogLine& line : kept) *reply.add_lines() = std::move(line);
  return {};
}

Result<> MachineView::logs(int64_t lines, schema::MachineLogsReply& reply) const {
  const size_t wanted = wanted_lines(lines);
  for (const char* log : kServiceLogs) {
    Result<std::pair<std::string, bool>> now = tail_of(path(log));
    if (!now.ok()) continue;
    // The older part, when the newer one is not enough.
    const size_t here = static_cast<size_t>(std::ranges::count(now->first, '\n'));
    if (!now->second && here < wanted) {
      Result<std::pair<std::string, bool>> before = tail_of(path(log) + ".1");
      if (before.ok()) *now = {before->first + now->first, before->second};
    }
    for (const std::string_view line : last_lines(now->first, wanted, now->second)) reply.add_lines(std::string(line));
    return {};
  }
  return {Code::kNotFound, "there is no log of the services yet"};
}

Result<> MachineView::disks(schema::MachineDisksReply& reply) const {
  STEPPE_TRY(const kernel::Beneath blocks, kernel::Beneath::at(path("/sys/block")));
  STEPPE_TRY(const std::vector<kernel::DirectoryEntry> names, blocks.list("", 4'096));
  MountedOn mounted;
  const Result<std::string> table = kernel::read_host_file(path("/proc/self/mountinfo"), Bytes::mib(4));
  Result<std::vector<kernel::MountEntry>> mounts = kernel::parse_mountinfo(table.value_or(""));
  if (mounts.ok())
    for (const kernel::MountEntry& mount : *mounts) mounted.try_emplace(mount.device, mount.target);
  for (const kernel::DirectoryEntry& entry : names) {
    const std::string directory = path("/sys/block/") + entry.name;
    const uint64_t sectors = number_of(line_of(directory + "/size"));
    // The image itself, and memory: no disks.
    if (sectors == 0 || entry.name.starts_with("loop") || entry.name.starts_with("ram") || entry.name.starts_with("zram")) continue;
    if (reply.disks_size() == static_cast<int>(kMaxDisks)) break;
    schema::MachineDisk& disk = *reply.add_disks();
    disk.set_name(entry.name);
    disk.set_model(line_of(directory + "/device/model"));
    disk.set_serial(line_of(directory + "/device/serial").empty() ? line_of(directory + "/serial") : line_of(directory + "/device/serial"));
    disk.set_size(sectors * kSector);
    disk.set_rotational(line_of(directory + "/queue/rotational") == "1");
    disk.set_removable(line_of(directory + "/removable") == "1");
    disk.set_read_only(line_of(directory + "/ro") == "1");
    const Result<kernel::Beneath> inside = kernel::Beneath::at(directory);
    if (!inside.ok()) continue;
    const Result<std::vector<kernel::DirectoryEntry>> below = inside->list("", 4'096);
    if (!below.ok()) continue;
    for (const kernel::DirectoryEntry& part : *below) {
      if (part.name.starts_with(entry.name) && !line_of(directory + "/" + part.name + "/partition").empty())
        add_partition(directory + "/" + part.name, part.name, mounted, disk);
    }
  }
  return {};
}

Result<> MachineView::mounts(schema::MachineMountsReply& reply) const {
  STEPPE_TRY(const std::string table, kernel::read_host_file(path("/proc/self/mountinfo"), Bytes::mib(4)));
  STEPPE_TRY(const std::vector<kernel::MountEntry> mounts, kernel::parse_mountinfo(table));
  for (const kernel::MountEntry& mount : mounts) {
    if (reply.mounts_size() == static_cast<int>(kMaxMounts)) break;
    schema::MachineMount& row = *reply.add_mounts();
    row.set_target(mount.target);
    row.set_source(mount.source);
    row.set_type(mount.type);
    row.set_options(mount.options);
    // Only a disk of this machine is asked: one over the network may not answer.
    if (!mount.source.starts_with("/dev/") && mount.type != "tmpfs") continue;
    const Result<kernel::Fd> directory = kernel::open_host(path(mount.target), O_PATH);
    if (!directory.ok()) continue;
    const Result<kernel::FileSystemUsage> usage = kernel::file_system_usage(*directory);
    if (!usage.ok()) continue;
    row.set_size(usage->total);
    row.set_available(usage->available);
  }
  return {};
}

Result<> MachineView::processes(schema::MachineProcessesReply& reply) const {
  STEPPE_TRY(const kernel::Beneath proc, kernel::Beneath::at(path("/proc")));
  STEPPE_TRY(const std::vector<kernel::DirectoryEntry> names, proc.list("", 1'000'000));
  const int64_t ticks = std::max<int64_t>(1, ::sysconf(_SC_CLK_TCK)), page = ::sysconf(_SC_PAGESIZE);
  for (const kernel::DirectoryEntry& entry : names) {
    if (!parse_uint(entry.name).ok()) continue;
    // It may end at any moment: then it is not there.
    const Result<std::string> text = proc.read(entry.name + "/stat", Bytes::kib(8));
    if (!text.ok()) continue;
    const auto stat = parse_process_stat(*text);
    if (!stat) continue;
    if (reply.processes_size() == static_cast<int>(kMaxProcesses)) {
      reply.set_truncated(true);
      break;
    }
    schema::MachineProcess& row = *reply.add_processes();
    row.set_pid(stat->pid);
    row.set_parent(stat->parent);
    row.set_name(std::string(stat->name));
    row.set_state(std::string(1, stat->state));
    row.set_memory(static_cast<uint64_t>(stat->resident_pages * page));
    row.set_threads(stat->threads);
    row.set_cpu_ms(stat->ticks * 1000 / ticks);
    if (const Result<kernel::FileInfo> owner = proc.stat(entry.name); owner.ok()) row.set_user(owner->uid);
    if (const Result<std::string> group = proc.read(entry.name + "/cgroup", Bytes::kib(8)); group.ok()) row.set_cgroup(value_of(*group, "0:", ':'));
  }
  std::ranges::sort(*reply.mutable_processes(), {}, [](const schema::MachineProcess& one) { return one.pid(); });
  return {};
}

Result<> MachineView::time(int64_t now_unix_ns, schema::MachineTimeReply& reply) const {
  timex state{};
  const int verdict = ::adjtimex(&state);  // modes 0: only asks
  if (verdict < 0) return Error::from_errno(errno, "ask the kernel's clock");
  reply.set_now(now_unix_ns);
  reply.set_uptime_s(uptime_s(path("/proc/uptime")));
  reply.set_synchronized(verdict != TIME_ERROR && (state.status & STA_UNSYNC) == 0);
  reply.set_estimated_error_us(state.esterror);
  reply.set_frequency_ppm(static_cast<double>(state.freq) / 65'536);
  const auto built = built_unix_s();
  reply.set_older_than_image(built && now_unix_ns / 1'000'000'000 < *built);
  return {};
}

Result<bool> MachineView::state_is_kept() const {
  schema::MachineMountsReply all;
  STEPPE_TRY_VOID(mounts(all));
  std::string type;
  for (const schema::MachineMount& mount : all.mounts())
    if (mount.target() == "/state") type = mount.type();
  if (!type.empty() && type != "tmpfs") return true;
  schema::MachineDisksReply found;
  STEPPE_TRY_VOID(disks(found));
  for (const schema::MachineDisk& disk : found.disks())
    for (const schema::MachinePartition& partition : disk.partitions())
      if (partition.label() == "STEPPE-STATE") return false;
  return true;
}

}  // namespace steppe::machine_api
