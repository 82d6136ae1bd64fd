#include "init/machine/storage/storage.h"

#include <sys/mount.h>

#include <algorithm>
#include <format>
#include <map>

#include "init/base/text.h"
#include "init/machine/layout.h"
#include "init/machine/storage/content.h"
#include "init/machine/storage/disk_facts.h"

namespace steppe::storage {
namespace {

using machine::BlockWriter;
using machine::DiskAction;
using machine::DiskFacts;
using machine::DiskStep;
using machine::guid_text;
using machine::Guid;
using machine::Partition;
using Access = Hardware::Access;

constexpr Duration kPause = std::chrono::milliseconds(100);
constexpr uint64_t kWorthGrowing = 1 << 20;
constexpr Bytes kMaxReserved = Bytes::gib(15 << 10);
constexpr unsigned long kEspFlags = MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_DIRSYNC;
constexpr unsigned long kStateFlags = MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME;
constexpr unsigned long kDataFlags = MS_NOSUID | MS_NODEV | MS_NOATIME;  // tasks are executed from there

// The last line that says something; e2fsck explains in parentheses.
std::string last_line(std::string_view text) {
  std::string_view found;
  for (std::string_view line : split(text, '\n')) {
    if (!trim(line).empty() && !trim(line).starts_with('(')) found = trim(line);
  }
  return std::string(found.substr(0, 160));
}

class SetUp {
 public:
  SetUp(Hardware& hardware, const Speech& speech) : hardware_(hardware), speech_(speech), booted_(hardware.booted_partition()) {}

  Outcome run(const std::function<machine::Disks()>& wanted) {
    await_disks();
    mount_esp();
    mount_config();
    const machine::Disks choice = wanted();
    std::vector<DiskAction> actions = plan_disks(facts_, choice);
    const MonoTime end = hardware_.now() + kBootDiskLimit;
    while (actions.size() == 1 && actions[0].step == DiskStep::kRefuse && actions[0].device.empty() && hardware_.now() < end && hardware_.disks_may_come()) {
      hardware_.rest(kPause);
      look();
      actions = plan_disks(facts_, choice);
    }
    perform(actions);
    for (auto [place, at] : {std::pair(&out_.state, kStateAt), std::pair(&out_.data, kDataAt)}) {
      if (place->device.empty() && place->why.empty()) place->why = "no disk of this machine has it";
      if (place->device.empty()) speech_.say(std::format("{} is in memory: {}", at, place->why));
    }
    return out_;
  }

 private:
  // Facts of all disks as they are now. What cannot be read has no facts, and the reason is said once.
  void look() {
    facts_.clear();
    Result<std::vector<device::Disk>> disks = hardware_.disks();
    if (!disks.ok()) return speech_.wrong(disks.error().message());
    for (const device::Disk& disk : *disks) {
      facts_.push_back(facts_of(hardware_, disk, booted_));
      std::vector<uint32_t>& known = known_[disk.path];
      known.clear();
      for (const device::DiskPartition& partition : disk.partitions) known.push_back(partition.number);
    }
  }

  // The kernel reads only the first copy of a table: of a disk where that is damaged it knows no partition.
  void announce(const DiskFacts& disk) {
    std::vector<uint32_t>& known = known_[disk.device];
    for (const Partition& partition : disk.gpt ? disk.gpt->partitions : std::vector<Partition>()) {
      if (std::ranges::contains(known, partition.number)) continue;
      known.push_back(partition.number);
      const uint64_t block = disk.block_bytes;
      Result<> added = hardware_.add_partition(disk.device, partition.number, Bytes{partition.first * block}, Bytes{(partition.last - partition.first + 1) * block});
      if (!added.ok() && added.error().code() != Code::kExists) speech_.wrong(added.error().message());
    }
  }

  bool found() const {
    return std::ranges::any_of(facts_, [&](const DiskFacts& disk) {
      if (!booted_.empty()) return disk.booted;
      return disk.gpt && !disk.removable && std::ranges::any_of(disk.gpt->partitions, [](const Partition& partition) {
               return partition.type == *machine::parse_guid(machine::kTypeState) || partition.label == machine::kLabelEsp;
             });
    });
  }

  void await_disks() {
    const MonoTime end = hardware_.now() + (booted_.empty() ? kAnyDiskLimit : kBootDiskLimit);
    for (look(); !found() && hardware_.now() < end && (!booted_.empty() || hardware_.disks_may_come()); look()) hardware_.rest(kPause);
    if (!booted_.empty() && !found()) speech_.wrong(std::format("the partition that was booted from, {}, has not come within {} s", booted_, kBootDiskLimit / std::chrono::seconds(1)));
  }

  void mount_esp() {
    const std::vector<DiskAction> none = plan_disks(facts_, {});
    for (const DiskFacts& disk : facts_) {
      const bool meant = disk.booted || std::ranges::any_of(none, [&](const DiskAction& action) { return action.device == disk.device; });
      if (meant) announce(disk);
      for (const Partition& partition : meant && disk.gpt ? disk.gpt->partitions : std::vector<Partition>()) {
        const bool loaded = !booted_.empty() && equals_ignoring_case(guid_text(partition.unique), booted_);
        const bool ours = booted_.empty() && partition.type == *machine::parse_guid(machine::kTypeEsp) && partition.label == machine::kLabelEsp;
        if (!loaded && !ours) continue;
        const std::string device = partition_path(disk.device, partition.number);
        Result<> mounted = hardware_.mount({device, kEspAt, "vfat", kEspFlags, "fmask=0177,dmask=0077,errors=remount-ro,tz=UTC"});
        if (mounted.ok()) out_.esp = {device, "not checked", ""};
        else out_.esp.why = mounted.error().message(), speech_.wrong("the ESP is not mounted: " + out_.esp.why);
        return;
      }
    }
    out_.esp.why = "the machine was not booted from one";
  }

  // Of any disk, a stick that somebody put in included; of several, none, as which is meant cannot be told.
  void mount_config() {
    struct Found {
      std::string device, type;
    };
    std::vector<Found> found;
    for (const DiskFacts& disk : facts_) {
      for (size_t i = 0; disk.gpt && i < disk.gpt->partitions.size(); ++i) {
        const Partition& partition = disk.gpt->partitions[i];
        if (partition.type == *machine::parse_guid(machine::kTypeConfig)) found.push_back({partition_path(disk.device, partition.number), disk.filesystems[i]});
      }
    }
    out_.config.why = found.empty() ? "there is none" : found.size() > 1 ? "there are several: " + found[0].device + " and " + found[1].device : "";
    if (found.size() > 1) speech_.wrong("no configuration partition is mounted: " + out_.config.why);
    if (found.size() != 1) return;
    const auto& [device, type] = found[0];
    Result<> mounted = type == "vfat" || type == "ext4" ? hardware_.mount({device, kConfigAt, type, kEspFlags | MS_RDONLY, type == "ext4" ? "noload" : ""})
                                                        : Result<>(Code::kInvalid, std::format("{} holds {}, expected vfat or ext4", device, type.empty() ? "nothing" : type));
    if (mounted.ok()) out_.config = {device, "read-only", ""};
    else out_.config.why = mounted.error().message(), speech_.wrong("the configuration partition is not mounted: " + out_.config.why);
  }

  void perform(const std::vector<DiskAction>& actions) {
    for (const DiskFacts& disk : facts_) {
      // A disk that is refused or emptied keeps what the kernel knows of it.
      auto first = std::ranges::find(actions, disk.device, &DiskAction::device);
      if (first != actions.end() && first->step != DiskStep::kRefuse && first->step != DiskStep::kWipe) announce(disk);
    }
    std::string stopped;  // a disk on which a step failed: the later ones build on it
    for (const DiskAction& action : actions) {
      if (action.step == DiskStep::kRefuse) {
        const std::string what = (action.device.empty() ? "" : action.device + ": ") + action.why;
        speech_.wrong("no partition is laid out: " + what);
        for (Place* place : {&out_.state, &out_.data}) place->why = place->why.empty() ? what : place->why;
        continue;
      }
      if (action.device == stopped) continue;
      Result<> done = perform_one(action);
      if (done.ok()) continue;
      speech_.wrong(done.error().message());
      if (Place* place = place_of(action)) place->why = done.error().message();
      if (action.step != DiskStep::kFormat && action.step != DiskStep::kUse) stopped = action.device;
    }
  }

  Place* place_of(const DiskAction& action) {
    if (action.label == machine::kLabelState) return &out_.state;
    return action.label == machine::kLabelData ? &out_.data : nullptr;
  }

  Result<> perform_one(const DiskAction& action) {
    switch (action.step) {
      case DiskStep::kFixBackup: return change(action, {}).wrap("let the table of " + action.device + " reach the disk's end");
      case DiskStep::kWipe: return wipe(action).wrap("empty " + action.device);
      case DiskStep::kCreate: return create(action).wrap(std::format("make {} on {}", action.label, action.device));
      case DiskStep::kGrow: return grow(action).wrap(std::format("grow partition {} of {}", action.number, action.device));
      case DiskStep::kFormat: {
        STEPPE_TRY_VOID(format(action).wrap(std::format("format {} on {}", action.label, action.device)));
        return use(action, "created");
      }
      case DiskStep::kUse: return use(action, "");
      case DiskStep::kRefuse: break;
    }
    return {};
  }

  Result<> change(const DiskAction& action, const machine::GptChange& change) {
    STEPPE_TRY(std::unique_ptr<BlockWriter> disk, hardware_.open(action.device, Access::kWrite));
    STEPPE_TRY(machine::Gpt gpt, change_gpt(*disk, change));
    tables_.insert_or_assign(action.device, std::move(gpt));
    return {};
  }

  Result<> wipe(const DiskAction& action) {
    // Whoever uses one of them still needs it: found out before anything is gone.
    for (const DiskFacts& disk : facts_) {
      for (uint32_t number : disk.device == action.device ? known_[action.device] : std::vector<uint32_t>())
        STEPPE_TRY_VOID(hardware_.forget_partition(action.device, number));
    }
    STEPPE_TRY(std::unique_ptr<BlockWriter> disk, hardware_.open(action.device, Access::kWrite));
    STEPPE_TRY_VOID(new_gpt(*disk, random_guid(hardware_.rng())));
    speech_.say(action.device + " has a new, empty partition table");
    return {};
  }

  Result<> create(const DiskAction& action) {
    STEPPE_TRY(const Guid type, machine::parse_guid(action.type));
    STEPPE_TRY_VOID(change(action, {.add = {{.number = action.number,
                                             .type = type,
                                             .unique = random_guid(hardware_.rng()),
                                             .first = action.first,
                                             .last = action.last,
                                             .attributes = machine::kUnfinished,
                                             .label = action.label}}}));
    const uint64_t block = block_of(action.device);
    STEPPE_TRY_VOID(hardware_.add_partition(action.device, action.number, Bytes{action.first * block}, Bytes{(action.last - action.first + 1) * block}));
    speech_.say(std::format("{}: {} of {} MiB is new", partition_path(action.device, action.number), action.label, (action.last - action.first + 1) * block >> 20));
    return {};
  }

  Result<> grow(const DiskAction& action) {
    STEPPE_TRY_VOID(change(action, {.grow = {{action.number, action.last}}}));
    const uint64_t block = block_of(action.device);
    STEPPE_TRY_VOID(hardware_.grow_partition(action.device, action.number, Bytes{action.first * block}, Bytes{(action.last - action.first + 1) * block}));
    speech_.say(std::format("{} has {} MiB now", partition_path(action.device, action.number), (action.last - action.first + 1) * block >> 20));
    return {};
  }

  Result<> format(const DiskAction& action) {
    const std::string device = partition_path(action.device, action.number);
    // Its own id is the partition's; what spreads names in directories is nobody's to know.
    STEPPE_TRY(const Partition partition, partition_now(action));
    const std::string uuid = lower(guid_text(partition.unique)), seed = lower(guid_text(random_guid(hardware_.rng())));
    STEPPE_TRY(const ProgramEnd end, hardware_.run(kFormatter, format_arguments({device, action.label, uuid, seed, Bytes{(partition.last - partition.first + 1) * block_of(action.device)}}), kFormatLimit));
    if (end.code != 0 || end.signal != 0) return {Code::kIo, std::format("mke2fs ended with {}: {}", end.signal != 0 ? end.signal + 128 : end.code, last_line(end.text))};
    if ((partition.attributes & machine::kUnfinished) == 0) return {};
    return change(action, {.finish = {action.number}});
  }

  // Checks and mounts. `done`: what was done to it already; "" when it was there.
  Result<> use(const DiskAction& action, std::string done) {
    Place& place = *place_of(action);
    const bool state = &place == &out_.state;
    const std::string device = partition_path(action.device, action.number);
    if (done.empty()) {
      STEPPE_TRY(done, check(device, state ? kCheckStateLimit : kCheckDataLimit).wrap(std::format("{} on {} is damaged and is not used", action.label, device)));
    }
    const char* at = state ? kStateAt : kDataAt;
    STEPPE_TRY_VOID(hardware_.mount({device, at, "ext4", state ? kStateFlags : kDataFlags, ""}));
    place = {device, done, ""};
    speech_.say(std::format("{} is on {} ({})", at, device, done));
    if (Result<> grown = reach_end(action, device, at); !grown.ok()) speech_.wrong(grown.error().message());
    return {};
  }

  // "checked" or "repaired".
  Result<std::string> check(const std::string& device, Duration limit) {
    Result<ProgramEnd> end = hardware_.run(kChecker, {"-p", device}, limit);
    if (!end.ok() && end.error().code() == Code::kNotFound) return std::string("not checked");
    if (!end.ok()) return std::move(end).error();
    if (end->signal != 0) return Error(Code::kIo, std::format("e2fsck was ended by signal {}", end->signal));
    // 1: mistakes, corrected; 2: and a reboot would be needed if it were mounted, which it is not (e2fsck(8)).
    if (end->code > 3) return Error(Code::kCorrupt, std::format("e2fsck ended with {}: {}", end->code, last_line(end->text)));
    if (end->code == 0) return std::string("checked");
    speech_.say(std::format("{}: mistakes were found and repaired: {}", device, last_line(end->text)));
    return std::string("repaired");
  }

  // A file system that is smaller than its partition: one that has just grown, or at a start that was cut off then.
  Result<> reach_end(const DiskAction& action, const std::string& device, const char* at) {
    STEPPE_TRY(const Partition partition, partition_now(action));
    STEPPE_TRY(std::unique_ptr<BlockWriter> disk, hardware_.open(action.device, Access::kRead));
    PartitionReader part(*disk, partition);
    STEPPE_TRY(const Bytes has, ext4_size(part));
    const uint64_t room = part.blocks() * part.block_bytes();
    if (room < has.count + kWorthGrowing) return {};
    STEPPE_TRY_VOID(hardware_.grow(at, Bytes{room}));
    speech_.say(std::format("{} grew from {} to {} MiB", device, has.count >> 20, room >> 20));
    return {};
  }

  Result<Partition> partition_now(const DiskAction& action) {
    if (!tables_.contains(action.device)) {
      STEPPE_TRY(std::unique_ptr<BlockWriter> disk, hardware_.open(action.device, Access::kRead));
      STEPPE_TRY(machine::Gpt gpt, read_gpt(*disk));
      tables_.insert_or_assign(action.device, std::move(gpt));
    }
    for (const Partition& partition : tables_.at(action.device).partitions) {
      if (partition.number == action.number) return partition;
    }
    return Error(Code::kNotFound, std::format("{} has no partition {}", action.device, action.number));
  }

  uint64_t block_of(const std::string& device) const {
    auto found = std::ranges::find(facts_, device, &DiskFacts::device);
    return found == facts_.end() ? 512 : found->block_bytes;
  }

  Hardware& hardware_;
  const Speech& speech_;
  std::string booted_;
  std::vector<DiskFacts> facts_;
  std::map<std::string, std::vector<uint32_t>> known_;  // the kernel's partitions, by disk
  std::map<std::string, machine::Gpt> tables_;          // as they were written or read last
  Outcome out_;
};

std::string line_of(std::string_view name, const Place& place) {
  std::string why = place.why;
  std::ranges::replace_if(why, [](char c) { return c < ' ' || c > '~'; }, '?');
  return place.device.empty() ? std::format("{} - {}\n", name, why) : std::format("{} {} {}\n", name, place.device, place.done);
}

}  // namespace

Outcome set_up(Hardware& hardware, const std::function<machine::Disks()>& wanted, const Speech& speech) { return SetUp(hardware, speech).run(wanted); }

std::string describe(const Outcome& outcome) {
  return "steppe-storage 1\n" + line_of("esp", outcome.esp) + line_of("config", outcome.config) + line_of("state", outcome.state) + line_of("data", outcome.data);
}

std::vector<std::string> format_arguments(const FormatRequest& request) {
  // What lets it grow later: blocks kept for that, which 32 bits number, or no such blocks.
  const std::string_view grows = request.size < kMaxReserved ? "resize_inode" : "meta_bg";
  // Tables and journal are zeroed by the kernel later: a large disk takes no longer than a small one. Nothing is kept back for root, which
  // all of the machine is.
  return {"-F", "-q", "-t", "ext4", "-b", "4096", "-I", "256", "-i", "16384", "-m", "0", "-e", "remount-ro",
          "-O", std::format("none,has_journal,ext_attr,{},dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum", grows),
          "-E", std::format("hash_seed={},lazy_itable_init=1,lazy_journal_init=1,nodiscard,root_owner=0:0", request.hash_seed),
          "-U", request.uuid, "-L", request.label, request.device};
}

}  // namespace steppe::storage
