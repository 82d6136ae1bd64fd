#include "init/machine/storage/disk_facts.h"

#include <format>

#include "init/base/text.h"
#include "init/machine/storage/content.h"

namespace steppe::storage {

std::string partition_path(const std::string& disk, uint32_t number) {
  const bool digit = !disk.empty() && disk.back() >= '0' && disk.back() <= '9';
  return std::format("{}{}{}", disk, digit ? "p" : "", number);
}

machine::Guid random_guid(Rng& rng) {
  machine::Guid guid;
  rng.fill(guid);
  // The third group is little-endian on disk.
  guid[7] = (guid[7] & std::byte{0x0f}) | std::byte{0x40};
  guid[8] = (guid[8] & std::byte{0x3f}) | std::byte{0x80};
  return guid;
}

machine::DiskFacts facts_of(Hardware& hardware, const device::Disk& disk, const std::string& booted) {
  machine::DiskFacts facts{.device = disk.path, .links = disk.links, .serial = disk.serial, .bytes = disk.bytes, .block_bytes = disk.block_bytes};
  facts.removable = disk.removable;
  Result<std::unique_ptr<machine::BlockWriter>> reader = hardware.open(disk.path, Hardware::Access::kRead);
  if (!reader.ok()) {
    facts.content = "what cannot be read: " + reader.error().message();
    return facts;
  }
  Result<machine::Gpt> gpt = read_gpt(**reader);
  if (!gpt.ok() && gpt.error().code() == Code::kNotFound) {
    Result<std::string> content = content_of(**reader);
    facts.content = content.ok() ? *content : "what cannot be read: " + content.error().message();
    return facts;
  }
  facts.gpt_damaged = !gpt.ok();
  if (!gpt.ok()) return facts;
  for (const machine::Partition& partition : gpt->partitions) {
    facts.booted |= !booted.empty() && equals_ignoring_case(machine::guid_text(partition.unique), booted);
    PartitionReader part(**reader, partition);
    Result<std::string> content = (partition.attributes & machine::kUnfinished) != 0 ? Result<std::string>("") : content_of(part);
    facts.filesystems.push_back(content.ok() ? *content : "what cannot be read");
  }
  facts.gpt = std::move(*gpt);
  return facts;
}

}  // namespace steppe::storage
