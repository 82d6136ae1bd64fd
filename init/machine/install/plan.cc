#include "init/machine/install/plan.h"

#include <algorithm>
#include <format>

#include "init/machine/gpt_write.h"
#include "init/machine/layout.h"

namespace steppe::install {
namespace {

using machine::DiskFacts;
using machine::Partition;

constexpr uint64_t kMib = 1 << 20;
constexpr uint64_t kImagesOnEsp = 3, kSlackMib = 16;  // one runs, one is good, one is written; what FAT and the loader take
constexpr uint64_t kLargeDiskMib = 8192, kLargeEspMib = 1024;

bool is_type(const Partition& partition, std::string_view type) { return partition.type == *machine::parse_guid(type); }

bool is_ours(const Partition& partition) {
  return is_type(partition, machine::kTypeState) || is_type(partition, machine::kTypeData) || (is_type(partition, machine::kTypeEsp) && partition.label == machine::kLabelEsp);
}

// What of the disk would be lost; "": nothing.
std::string held(const DiskFacts& disk) {
  if (disk.gpt_damaged) return "a partition table that is damaged";
  if (!disk.gpt) return disk.content;
  const std::vector<Partition>& partitions = disk.gpt->partitions;
  if (std::ranges::all_of(partitions, [](const Partition& one) { return is_ours(one) && (one.attributes & machine::kUnfinished) != 0; })) return "";
  if (std::ranges::all_of(partitions, is_ours)) return "an installation of Steppe";
  return std::format("{} partition{}, not all of them Steppe's", partitions.size(), partitions.size() == 1 ? "" : "s");
}

}  // namespace

std::string_view step_name(Step step) {
  switch (step) {
    case Step::kTable: return "write a new partition table";
    case Step::kFormat: return "make the EFI system partition's file system";
    case Step::kMount: return "mount the EFI system partition";
    case Step::kImage: return "write the image";
    case Step::kSettings: return "write the settings";
    case Step::kLoader: return "write the boot loader";
    case Step::kTableWhole: return "finish the partition table";
    case Step::kNameImage: return "give the image its name";
    case Step::kNameLoader: return "give the boot loader its name";
    case Step::kUnmount: return "unmount the EFI system partition";
  }
  return "";
}

const std::vector<Step>& order() {
  static const std::vector<Step> kOrder = {Step::kTable,  Step::kFormat,     Step::kMount,     Step::kImage,      Step::kSettings,
                                           Step::kLoader, Step::kTableWhole, Step::kNameImage, Step::kNameLoader, Step::kUnmount};
  return kOrder;
}

Result<std::vector<Partition>> lay_out(const DiskFacts& disk, uint64_t image_bytes) {
  const uint64_t align = machine::kAlignMib * kMib / disk.block_bytes, blocks = disk.bytes / disk.block_bytes;
  uint64_t esp_mib = disk.bytes / kMib >= kLargeDiskMib ? kLargeEspMib : machine::kMinEspMib;
  esp_mib = std::max(esp_mib, kImagesOnEsp * (image_bytes / kMib + 1) + kSlackMib);
  const uint64_t needed = esp_mib + machine::kMinStateMib + machine::kMinDataMib + 2 * machine::kAlignMib;
  const auto too_small = [&] {
    return Error(Code::kExhausted, std::format("{} has {} MiB, an installation takes {} MiB at least: {} for images, {} for state, {} for data", disk.device, disk.bytes / kMib, needed, esp_mib,
                                               machine::kMinStateMib, machine::kMinDataMib));
  };
  if (disk.bytes / kMib < needed) return too_small();
  Partition esp{.number = 1, .type = *machine::parse_guid(machine::kTypeEsp), .first = align, .last = align + esp_mib * kMib / disk.block_bytes - 1, .label = std::string(machine::kLabelEsp)};
  // State and data lie where the first start of this disk would put them.
  DiskFacts started{.device = disk.device, .bytes = disk.bytes, .block_bytes = disk.block_bytes, .booted = true, .filesystems = {"vfat"}};
  started.gpt = machine::Gpt{.first_usable = align, .last_usable = blocks - align - 1, .partitions = {esp}};
  std::vector<Partition> out = {std::move(esp)};
  for (const machine::DiskAction& action : machine::plan_disks({started}, {})) {
    if (action.step == machine::DiskStep::kRefuse) return too_small();
    if (action.step == machine::DiskStep::kCreate) out.push_back({.number = action.number, .type = *machine::parse_guid(action.type), .first = action.first, .last = action.last, .label = action.label});
  }
  return out;
}

Result<> check_target(const Target& target, bool wipe, uint64_t image_bytes) {
  const DiskFacts& disk = target.facts;
  if (target.read_only) return {Code::kDenied, disk.device + " is read-only: its switch, or whoever gives this machine its disks, says so"};
  if (disk.booted) return {Code::kUnavailable, disk.device + " is what this machine was started from: start it from another medium, or stage an image instead"};
  if (!target.used.empty()) return {Code::kUnavailable, disk.device + " is used: " + target.used + ". Start the machine from a medium that does not use it"};
  STEPPE_TRY([[maybe_unused]] const std::vector<Partition> fits, lay_out(disk, image_bytes));
  if (disk.content.starts_with("what cannot be read")) return {Code::kIo, disk.device + " holds " + disk.content};
  if (const std::string what = held(disk); !what.empty() && !wipe) return {Code::kExists, std::format("{} holds {}: say -wipe if all of it shall be gone", disk.device, what)};
  return {};
}

}  // namespace steppe::install
