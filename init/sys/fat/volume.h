#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "init/base/bytes.h"
#include "init/base/result.h"

namespace steppe::fat {

// The bytes of a partition that is not mounted. Blocking.
class Device {
 public:
  virtual ~Device() = default;
  virtual uint64_t size() const = 0;
  virtual Result<> read(uint64_t offset, ByteSpan into) = 0;   // all or an error
  virtual Result<> write(uint64_t offset, ByteView bytes) = 0;
  virtual Result<> sync() = 0;
};

struct VolumeName {
  std::string name;               // the long name (UTF-8), else the short one in the case that its flags give
  uint32_t first = 0;             // cluster; 0 for an empty file
  uint64_t size = 0;
  bool directory = false;
  std::vector<uint64_t> entries;  // places of its 32-byte entries on the device, the short one last
};

// A FAT16 or FAT32 filesystem ("FAT32 File System Specification" 1.03, Microsoft), read without mounting it, and changed in
// the one way that a mounted one cannot be. Any bytes are safe to read; walks are bounded by the volume's own size and
// kMaxEntries.
class Volume {
 public:
  static constexpr size_t kMaxEntries = 4096;  // of a directory

  // kInvalid says which field of the boot sector is wrong. The device outlives the volume.
  static Result<Volume> open(Device& device);

  // The names in a directory, "EFI/Linux"; case does not count. kNotFound when there is none.
  Result<std::vector<VolumeName>> list(std::string_view directory);

  // Where a file's bytes lie on the device: one place for each cluster that its size needs. kCorrupt when its chain is shorter
  // or leaves the volume.
  Result<std::vector<uint64_t>> places(const VolumeName& file);
  uint32_t cluster_bytes() const { return cluster_bytes_; }

  // Takes `name` away and leaves its clusters to the other name that begins with the same one. kDenied when there is no such
  // other: this is no way to remove a file. First the short entry, made durable, which ends the name; then its long parts,
  // which without it mean nothing. May be repeated: kNotFound when it is gone.
  Result<> forget(std::string_view directory, std::string_view name);

 private:
  Volume(Device& device) : device_(&device) {}
  Result<uint32_t> next_cluster(uint32_t cluster);
  Result<std::vector<VolumeName>> read_names(uint32_t first);
  // Places of the pieces that make up a directory, each `bytes` long.
  struct Piece {
    uint64_t at = 0, bytes = 0;
  };
  Result<std::vector<Piece>> pieces_of(uint32_t first);

  Device* device_;
  bool wide_ = false;             // FAT32
  uint32_t cluster_bytes_ = 0, clusters_ = 0;
  uint64_t fat_at_ = 0, root_at_ = 0, root_bytes_ = 0, data_at_ = 0;
  uint32_t root_cluster_ = 0;
};

}  // namespace steppe::fat
