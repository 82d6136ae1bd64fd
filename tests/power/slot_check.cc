#include "tests/power/slot_check.h"

#include <algorithm>
#include <cstring>
#include <set>

#include "init/base/text.h"
#include "init/machine/gpt.h"
#include "init/machine/layout.h"
#include "init/sys/fat/volume.h"
#include "init/upgrade/slot_name.h"
#include "init/upgrade/slots.h"

namespace steppe::power {

namespace {

constexpr size_t kBlock = 512;

class MemoryBlocks final : public machine::BlockReader {
 public:
  explicit MemoryBlocks(ByteView disk) : disk_(disk) {}
  uint32_t block_bytes() const override { return kBlock; }
  uint64_t blocks() const override { return disk_.size() / kBlock; }
  Result<> read(uint64_t first, ByteSpan into) override {
    std::ranges::copy(disk_.subspan(first * kBlock, into.size()), into.begin());
    return {};
  }

 private:
  ByteView disk_;
};

class MemoryVolume final : public fat::Device {
 public:
  explicit MemoryVolume(ByteView part) : part_(part) {}
  uint64_t size() const override { return part_.size(); }
  Result<> read(uint64_t offset, ByteSpan into) override {
    if (offset > part_.size() || part_.size() - offset < into.size()) return {Code::kIo, "past the partition's end"};
    std::ranges::copy(part_.subspan(offset, into.size()), into.begin());
    return {};
  }
  Result<> write(uint64_t, ByteView) override { return {Code::kDenied, "read only"}; }
  Result<> sync() override { return {}; }
  ByteView part() const { return part_; }

 private:
  ByteView part_;
};

Result<ByteView> esp_of(ByteView disk) {
  MemoryBlocks blocks(disk);
  STEPPE_TRY(machine::Gpt gpt, machine::read_gpt(blocks));
  STEPPE_TRY(machine::Guid type, machine::parse_guid(machine::kTypeEsp));
  for (const machine::Partition& one : gpt.partitions)
    if (one.type == type) return disk.subspan(one.first * kBlock, (one.last - one.first + 1) * kBlock);
  return {Code::kNotFound, "no ESP"};
}

bool holds(fat::Volume& volume, ByteView part, const fat::VolumeName& file, std::string_view bytes) {
  if (file.size != bytes.size()) return false;
  Result<std::vector<uint64_t>> places = volume.places(file);
  if (!places.ok()) return false;
  for (size_t i = 0, at = 0; at < bytes.size(); i++, at += volume.cluster_bytes()) {
    size_t n = std::min<size_t>(volume.cluster_bytes(), bytes.size() - at);
    if ((*places)[i] + n > part.size() || std::memcmp(part.data() + (*places)[i], bytes.data() + at, n) != 0) return false;
  }
  return true;
}

// The images' names as the loader sees them; `verdict` gets what is wrong with them.
struct Seen {
  std::vector<upgrade::SlotFile> files;
  std::set<std::string> good;  // versions that stand whole under their good name
};
Seen look_at(fat::Volume& volume, ByteView part, const std::vector<fat::VolumeName>& names, const std::vector<KnownImage>& images, Verdict& verdict) {
  Seen seen;
  std::set<uint32_t> chains;
  for (const fat::VolumeName& file : names) {
    if (file.directory || !lower(file.name).ends_with(".efi") || file.size == 0) continue;  // what no loader takes for an image
    auto image = std::ranges::find_if(images, [&](const KnownImage& one) { return holds(volume, part, file, one.bytes); });
    if (image == images.end()) {
      verdict.fault = file.name + " holds no whole image (" + std::to_string(file.size) + " bytes)";
      return seen;
    }
    if (!chains.insert(file.first).second) verdict.two_names = true;
    std::optional<upgrade::SlotName> name = upgrade::parse_slot_name(file.name);
    if (!name) verdict.lost_name = true;
    if (name && name->good()) seen.good.insert(image->version);
    upgrade::SlotFile slot{.name = file.name, .size = file.size, .chain = file.first};
    slot.manifest.emplace();
    slot.manifest->version = image->version;
    seen.files.push_back(std::move(slot));
  }
  return seen;
}

Result<> judge(ByteView disk, const std::vector<KnownImage>& images, std::string_view loader, Verdict& verdict) {
  STEPPE_TRY(ByteView part, esp_of(disk));
  MemoryVolume device(part);
  STEPPE_TRY(fat::Volume volume, fat::Volume::open(device));
  STEPPE_TRY(std::vector<fat::VolumeName> boot, volume.list("EFI/BOOT"));
  auto found = std::ranges::find_if(boot, [](const fat::VolumeName& one) { return equals_ignoring_case(one.name, "BOOTX64.EFI"); });
  if (found == boot.end() || !holds(volume, part, *found, loader)) return {Code::kCorrupt, "the loader is not whole"};
  STEPPE_TRY(std::vector<fat::VolumeName> names, volume.list(machine::kImageDirectory));
  Seen seen = look_at(volume, part, names, images, verdict);
  if (!verdict.fault.empty()) return {};
  std::vector<size_t> order = upgrade::loader_order(seen.files);
  if (order.empty()) return {Code::kCorrupt, "the loader finds no image"};
  verdict.starts = seen.files[order.front()].name;
  for (const KnownImage& one : images)
    if (one.stays && !seen.good.contains(one.version)) return {Code::kCorrupt, "image " + one.version + " is gone"};
  return {};
}

}  // namespace

Verdict check_disk(ByteView disk, const std::vector<KnownImage>& images, std::string_view loader) {
  Verdict verdict;
  if (Result<> judged = judge(disk, images, loader, verdict); !judged.ok()) verdict.fault = judged.error().message();
  return verdict;
}

}  // namespace steppe::power
