#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "init/base/bytes.h"
#include "init/base/result.h"

namespace steppe::disk {

inline constexpr uint64_t kSector = 512;
inline constexpr Bytes kAlignment = Bytes::mib(1);

// A disk with one partition, the ESP: what goes on a USB stick, and what a cloud takes. A node adds its own partitions
// when it first starts.
struct Layout {
  Bytes size;
  Bytes esp_start, esp_size;
  std::string disk_id, esp_id;  // GUIDs
  uint32_t serial = 0;          // of the FAT file system
};

// `size` is rounded up to whole MiB. All ids follow from `seed` (the image's digest), so that two builds are equal and
// two images differ. kInvalid when the ESP would be smaller than 64 MiB (FAT32 needs that many clusters) or than
// `content`.
Result<Layout> make_layout(Bytes size, Bytes content, std::string_view seed);

// For sfdisk(8).
std::string sfdisk_script(const Layout& layout);

// A file system of its own, without partitions around it: the ESP of an ISO image.
struct FileSystem {
  Bytes size;           // whole MiB
  std::string id;       // a GUID for what holds it
  uint32_t serial = 0;
};
// As small as FAT gets with files of `content` bytes in it. Ids as above.
Result<FileSystem> make_file_system(Bytes content, std::string_view seed);

// 16 bytes of a digest as a GUID of version 8 (RFC 9562).
std::string guid_of(std::string_view digest);

}  // namespace steppe::disk
