#include "init/machine/disk_plan.h"

#include <algorithm>

#include "init/machine/gpt_write.h"
#include "init/machine/layout.h"

namespace steppe::machine {

namespace {

constexpr std::string_view kFilesystem = "ext4";
constexpr uint64_t kMib = 1 << 20;
// Of a table with 128 entries at each end of the disk, rounded up to where partitions begin.
constexpr uint64_t kReservedBytes = kMib;

struct Wanted {
  std::string_view type, label;
  uint64_t min_bytes = 0, want_bytes = 0;  // want 0: all that is left
};
constexpr Wanted kState{kTypeState, kLabelState, kMinStateMib * kMib, kStateMib * kMib};
constexpr Wanted kData{kTypeData, kLabelData, kMinDataMib * kMib, 0};

bool is_ours(const Partition& partition) {
  if (partition.type == *parse_guid(kTypeState) || partition.type == *parse_guid(kTypeData)) return true;
  // An unfinished one is what is left of an installation that was cut off: nothing starts from it.
  return partition.type == *parse_guid(kTypeEsp) && partition.label == kLabelEsp && (partition.attributes & kUnfinished) == 0;
}

// A system of ours is on it: more than data alone.
bool is_system_disk(const DiskFacts& disk) {
  return disk.gpt && std::ranges::any_of(disk.gpt->partitions, [](const Partition& partition) { return is_ours(partition) && partition.type != *parse_guid(kTypeData); });
}

// One disk while its plan is made.
class DiskPlan {
 public:
  DiskPlan(const DiskFacts& disk, std::vector<DiskAction>& actions) : disk_(disk), actions_(actions) {
    if (disk.gpt) {
      gpt_ = *disk.gpt;
      filesystems_ = disk.filesystems;
      filesystems_.resize(gpt_.partitions.size());
    }
  }

  // False: refused.
  bool open(bool chosen, bool wipe) {
    bool ours = disk_.gpt && std::ranges::any_of(gpt_.partitions, is_ours);
    if (!ours && !disk_.booted) {
      bool blank = !disk_.gpt && !disk_.gpt_damaged && disk_.content.empty();
      if (!(blank && chosen) && !wipe)
        return refuse(disk_.gpt ? "its partition table is not one of ours" : disk_.gpt_damaged ? "its partition table is damaged" : "it holds " + held());
      actions_.push_back({.step = DiskStep::kWipe, .device = disk_.device});
      gpt_ = {};
      filesystems_.clear();
      reach_end();
    } else if (!disk_.gpt) {
      return refuse("it was booted from and has no readable GPT");
    } else if (!gpt_.backup_good || !gpt_.primary_good || gpt_.last_usable < end_block()) {
      actions_.push_back({.step = DiskStep::kFixBackup, .device = disk_.device});
      reach_end();
    }
    return true;
  }

  void place(const Wanted& wanted) {
    Result<std::optional<size_t>> found = find(wanted);
    if (!found.ok()) return (void)refuse(found.error().message());
    if (!*found) return create(wanted);
    const Partition& partition = gpt_.partitions[**found];
    const std::string& filesystem = filesystems_[**found];
    if (!filesystem.empty() && filesystem != kFilesystem)
      return (void)refuse("partition " + std::to_string(partition.number) + " (" + partition.label + ") holds " + filesystem +
                          ", expected " + std::string(kFilesystem));
    uint64_t room = after(**found);
    bool last = **found + 1 == gpt_.partitions.size();
    if (wanted.want_bytes == 0 && last && room >= kMib / disk_.block_bytes) {
      uint64_t to = align_down(gpt_.last_usable + 1) - 1;
      if (to > partition.last)
        actions_.push_back({.step = DiskStep::kGrow, .device = disk_.device, .number = partition.number, .first = partition.first, .last = to});
    }
    actions_.push_back({.step = filesystem.empty() ? DiskStep::kFormat : DiskStep::kUse, .device = disk_.device, .number = partition.number,
                        .type = std::string(wanted.type), .label = std::string(wanted.label)});
  }

 private:
  std::string held() const { return disk_.content.empty() ? "nothing, but was not chosen" : disk_.content; }

  bool refuse(std::string why) {
    actions_.push_back({.step = DiskStep::kRefuse, .device = disk_.device, .why = std::move(why)});
    return false;
  }

  uint64_t align() const { return kAlignMib * kMib / disk_.block_bytes; }
  uint64_t align_down(uint64_t block) const { return block / align() * align(); }
  uint64_t align_up(uint64_t block) const { return (block + align() - 1) / align() * align(); }
  uint64_t end_block() const {
    uint64_t blocks = disk_.bytes / disk_.block_bytes, reserved = kReservedBytes / disk_.block_bytes;
    return blocks > 2 * reserved ? blocks - reserved - 1 : 0;
  }
  void reach_end() {
    gpt_.first_usable = std::max<uint64_t>(gpt_.first_usable, align());
    gpt_.last_usable = std::max(gpt_.last_usable, end_block());
  }
  // Blocks behind the partition up to the next one or the end.
  uint64_t after(size_t index) const {
    uint64_t end = index + 1 < gpt_.partitions.size() ? gpt_.partitions[index + 1].first : gpt_.last_usable + 1;
    return end - gpt_.partitions[index].last - 1;
  }

  Result<std::optional<size_t>> find(const Wanted& wanted) const {
    Guid type = *parse_guid(wanted.type);
    std::vector<size_t> found;
    for (size_t i = 0; i < gpt_.partitions.size(); i++)
      if (gpt_.partitions[i].type == type) found.push_back(i);
    if (found.size() > 1) std::erase_if(found, [&](size_t i) { return gpt_.partitions[i].label != wanted.label; });
    if (found.size() > 1) return {Code::kInvalid, "it has two partitions " + std::string(wanted.label)};
    return found.empty() ? std::nullopt : std::optional(found.front());
  }

  void create(const Wanted& wanted) {
    uint64_t first = align_up(gpt_.partitions.empty() ? gpt_.first_usable : gpt_.partitions.back().last + 1);
    uint64_t end = align_down(gpt_.last_usable + 1);
    uint64_t room = end > first ? (end - first) * disk_.block_bytes : 0;
    if (room < wanted.min_bytes)
      return (void)refuse("there is no room for " + std::string(wanted.label) + ": " + std::to_string(room / kMib) +
                          " MiB are left after the last partition, " + std::to_string(wanted.min_bytes / kMib) + " MiB are needed");
    // State takes its share, but on a small disk leaves the least that data needs.
    uint64_t bytes = wanted.want_bytes == 0
                         ? room
                         : std::min(wanted.want_bytes, std::max(wanted.min_bytes, room > kData.min_bytes ? room - kData.min_bytes : 0));
    uint64_t last = first + bytes / disk_.block_bytes - 1;
    uint32_t number = 1;
    while (std::ranges::any_of(gpt_.partitions, [&](const Partition& partition) { return partition.number == number; })) number++;
    actions_.push_back({.step = DiskStep::kCreate,
                        .device = disk_.device,
                        .number = number,
                        .type = std::string(wanted.type),
                        .label = std::string(wanted.label),
                        .first = first,
                        .last = last});
    actions_.push_back({.step = DiskStep::kFormat,
                        .device = disk_.device,
                        .number = number,
                        .type = std::string(wanted.type),
                        .label = std::string(wanted.label)});
    gpt_.partitions.push_back({.number = number, .type = *parse_guid(wanted.type), .first = first, .last = last, .label = std::string(wanted.label)});
    filesystems_.emplace_back(kFilesystem);
  }

  const DiskFacts& disk_;
  std::vector<DiskAction>& actions_;
  Gpt gpt_;
  std::vector<std::string> filesystems_;
};

bool fits(const DiskFacts& disk, const DiskChoice& choice) {
  if (!choice.by_path.empty() && choice.by_path != disk.device && std::ranges::find(disk.links, choice.by_path) == disk.links.end()) return false;
  if (!choice.serial.empty() && choice.serial != disk.serial) return false;
  // By size alone, what can be pulled out is not meant.
  if (choice.by_path.empty() && choice.serial.empty() && disk.removable) return false;
  return disk.bytes >= choice.min_bytes;
}

// The disk that is meant; null with a refusal in `actions` when it is none or several.
const DiskFacts* choose(const std::vector<DiskFacts>& disks, const std::optional<DiskChoice>& choice, std::vector<DiskAction>& actions) {
  std::vector<const DiskFacts*> found;
  for (const DiskFacts& disk : disks)
    if (choice ? fits(disk, *choice) : disk.booted) found.push_back(&disk);
  if (found.empty() && !choice) {
    for (const DiskFacts& disk : disks)
      if (!disk.removable && is_system_disk(disk)) found.push_back(&disk);
  }
  if (found.size() == 1) return found.front();
  if (found.empty() && !choice) return nullptr;
  std::string names;
  for (const DiskFacts* disk : found) names += (names.empty() ? "" : ", ") + disk->device;
  actions.push_back({.step = DiskStep::kRefuse, .why = found.empty() ? "no disk fits the choice" : choice ? "the choice fits more than one disk: " + names : "more than one disk has a system of ours: " + names});
  return nullptr;
}

}  // namespace

std::vector<DiskAction> plan_disks(const std::vector<DiskFacts>& disks, const Disks& wanted) {
  std::vector<DiskAction> actions;
  const DiskFacts* system = choose(disks, wanted.system, actions);
  if (!actions.empty()) return actions;
  const DiskFacts* data = wanted.data ? choose(disks, wanted.data, actions) : system;
  if (!actions.empty()) return actions;
  auto wipe = [](const DiskFacts* disk, const std::optional<DiskChoice>& choice) { return choice && choice->wipe && !disk->booted; };
  if (system) {
    DiskPlan plan(*system, actions);
    bool both = data == system;
    if (!plan.open(wanted.system.has_value(), wipe(system, wanted.system) || (both && wipe(system, wanted.data)))) return actions;
    plan.place(kState);
    if (both) plan.place(kData);
  }
  if (data && data != system) {
    DiskPlan plan(*data, actions);
    if (plan.open(true, wipe(data, wanted.data))) plan.place(kData);
  }
  return actions;
}

}  // namespace steppe::machine
