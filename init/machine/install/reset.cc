#include "init/machine/install/reset.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <format>
#include <optional>

#include "init/machine/gpt_write.h"
#include "init/machine/layout.h"
#include "init/machine/storage/disk_facts.h"
#include "init/machine/storage/storage.h"

namespace steppe::install {
namespace {

using machine::DiskFacts;
using machine::Partition;
using storage::Hardware;
using storage::partition_path;

constexpr std::string_view kKept = "config";  // below the state partition: what was applied over the machine's API

struct Place {
  const DiskFacts* disk;
  const Partition* partition;
  std::string path() const { return partition_path(disk->device, partition->number); }
};

Result<std::optional<Place>> find(const std::vector<DiskFacts>& disks, const std::vector<kernel::MountEntry>& mounts, std::string_view type_text, const char* at) {
  const machine::Guid type = *machine::parse_guid(type_text);
  std::vector<Place> found;
  for (const DiskFacts& disk : disks) {
    if (!disk.gpt) continue;
    for (const Partition& partition : disk.gpt->partitions) {
      if (partition.type == type) found.push_back({&disk, &partition});
    }
  }
  for (const Place& place : found) {
    if (std::ranges::any_of(mounts, [&](const kernel::MountEntry& mount) { return mount.target == at && mount.source == place.path(); })) return std::optional(place);
  }
  if (std::ranges::any_of(found, [](const Place& place) { return place.disk->booted; })) std::erase_if(found, [](const Place& place) { return !place.disk->booted; });
  else std::erase_if(found, [](const Place& place) { return place.disk->removable; });
  if (found.empty()) return std::optional<Place>();
  if (found.size() == 1) return std::optional(found.front());
  std::string names;
  for (const Place& place : found) names += (names.empty() ? "" : ", ") + place.path();
  return Error(Code::kInvalid, std::format("nothing is mounted on {}, and several partitions could be meant: {}", at, names));
}

Result<> empty_but_configuration(const kernel::Beneath& root) {
  STEPPE_TRY(const std::vector<kernel::DirectoryEntry> entries, root.list(""));
  for (const kernel::DirectoryEntry& entry : entries) {
    if (entry.name != kKept) STEPPE_TRY_VOID(root.remove_tree(entry.name));
  }
  STEPPE_TRY(const kernel::Fd directory, root.open("", O_RDONLY | O_DIRECTORY));
  if (::syncfs(directory.get()) != 0) return Error::from_errno(errno, "sync " + root.name());
  return {};
}

}  // namespace

Result<std::vector<Marked>> choose_marks(const std::vector<DiskFacts>& disks, const std::vector<kernel::MountEntry>& mounts, Keep keep) {
  STEPPE_TRY(const std::optional<Place> data, find(disks, mounts, machine::kTypeData, storage::kDataAt));
  STEPPE_TRY(const std::optional<Place> state, find(disks, mounts, machine::kTypeState, storage::kStateAt));
  if (!data && !state) return Error(Code::kNotFound, "no disk of this machine has state or data of it: what it has is in memory and goes with a reboot");
  std::vector<Marked> out;
  if (data) out.push_back({data->disk->device, data->partition->number, machine::kUnfinished});
  if (!state) return out;
  if (keep == Keep::kConfiguration && (state->partition->attributes & machine::kUnfinished) != 0)
    return Error(Code::kExists, state->path() + " will be formatted at the next start: a reset of everything was asked for before");
  out.push_back({state->disk->device, state->partition->number, keep == Keep::kConfiguration ? machine::kKeepConfig : machine::kUnfinished});
  return out;
}

Result<std::string> mark_for_reset(Hardware& hardware, const std::vector<kernel::MountEntry>& mounts, Keep keep) {
  STEPPE_TRY(const std::vector<device::Disk> disks, hardware.disks());
  const std::string booted = hardware.booted_partition();
  std::vector<DiskFacts> facts;
  for (const device::Disk& disk : disks) facts.push_back(facts_of(hardware, disk, booted));
  STEPPE_TRY(const std::vector<Marked> marks, choose_marks(facts, mounts, keep));
  std::string names;
  for (size_t i = 0; i < marks.size(); ++i) {
    names += (names.empty() ? "" : " and ") + partition_path(marks[i].disk, marks[i].number);
    machine::GptChange change{.mark = {{marks[i].number, marks[i].bits}}};
    if (i + 1 < marks.size() && marks[i + 1].disk == marks[i].disk) {
      change.mark.push_back({marks[i + 1].number, marks[i + 1].bits});
      names += " and " + partition_path(marks[i + 1].disk, marks[i + 1].number);
      ++i;
    }
    STEPPE_TRY(const std::unique_ptr<machine::BlockWriter> writer, hardware.open(marks[i].disk, Hardware::Access::kWrite));
    STEPPE_TRY_VOID(change_gpt(*writer, change).wrap("mark " + marks[i].disk));
  }
  return names;
}

Result<bool> empty_marked_state(Hardware& hardware, const std::string& state, const kernel::Beneath& root) {
  STEPPE_TRY(const std::vector<device::Disk> disks, hardware.disks());
  for (const device::Disk& disk : disks) {
    const auto known = std::ranges::find(disk.partitions, state, &device::DiskPartition::path);
    if (known == disk.partitions.end()) continue;
    STEPPE_TRY(const std::unique_ptr<machine::BlockWriter> writer, hardware.open(disk.path, Hardware::Access::kWrite));
    STEPPE_TRY(const machine::Gpt gpt, read_gpt(*writer));
    const auto partition = std::ranges::find(gpt.partitions, known->number, &Partition::number);
    if (partition == gpt.partitions.end() || (partition->attributes & machine::kKeepConfig) == 0) return false;
    STEPPE_TRY_VOID(empty_but_configuration(root).wrap("empty " + state));
    STEPPE_TRY_VOID(change_gpt(*writer, {.finish = {known->number}}));
    return true;
  }
  return false;
}

}  // namespace steppe::install
