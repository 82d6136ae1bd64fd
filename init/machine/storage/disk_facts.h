#pragma once

#include <string>

#include "init/machine/disk_plan.h"
#include "init/machine/storage/hardware.h"

namespace steppe::storage {

// A partition of a disk, shown as a disk of its own. The disk outlives it.
class PartitionReader final : public machine::BlockReader {
 public:
  PartitionReader(machine::BlockReader& disk, const machine::Partition& partition)
      : disk_(disk), first_(partition.first), blocks_(partition.last - partition.first + 1) {}
  uint32_t block_bytes() const override { return disk_.block_bytes(); }
  uint64_t blocks() const override { return blocks_; }
  Result<> read(uint64_t first, ByteSpan into) override { return disk_.read(first_ + first, into); }

 private:
  machine::BlockReader& disk_;
  uint64_t first_, blocks_;
};

// As the kernel names them: "/dev/vda2", "/dev/nvme0n1p2".
std::string partition_path(const std::string& disk, uint32_t number);

machine::Guid random_guid(Rng& rng);  // version 4, RFC 9562

// What the disk holds now. `booted`: Hardware::booted_partition(). A disk that cannot be read has a content that says so.
machine::DiskFacts facts_of(Hardware& hardware, const device::Disk& disk, const std::string& booted);

}  // namespace steppe::storage
