#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "init/base/bytes.h"
#include "init/base/result.h"

namespace steppe::uki {

// One section of a PE file. `offset` and `raw_size` are of the file and inside it; `size` is what the section holds in
// memory: less than raw_size when the file pads it, more when zeros follow.
struct Section {
  std::string name;
  uint32_t address = 0, size = 0;
  uint32_t offset = 0, raw_size = 0;
  uint32_t flags = 0;
};

// The headers of a 64-bit EFI program (PE32+; Microsoft's "PE Format"), checked: every section and the certificate
// table lie inside the file and inside no other, in the order of the file; alignments are powers of two that fit.
struct Pe {
  uint16_t machine = 0;           // kMachineX64, kMachineArm64
  uint32_t header_offset = 0;     // of "PE\0\0"
  uint32_t section_table = 0;     // its offset
  uint32_t checksum_offset = 0;   // of the checksum field
  uint32_t directory_offset = 0;  // of the entry "certificate table"
  uint32_t headers_size = 0, image_size = 0;
  uint32_t section_alignment = 0, file_alignment = 0;
  uint32_t certificate_offset = 0, certificate_size = 0;  // 0, 0: not signed
  std::vector<Section> sections;

  const Section* find(std::string_view name) const;
};
inline constexpr uint16_t kMachineX64 = 0x8664, kMachineArm64 = 0xaa64;
inline constexpr size_t kMaxSections = 64;
inline constexpr size_t kSectionHeader = 40;

// Any bytes are safe to read. kCorrupt says what is wrong and where.
Result<Pe> read_pe(ByteView file);
// What a section holds, without the file's padding.
ByteView section_bytes(ByteView file, const Section& section);

// The PE checksum of a file ("CheckSum": 16-bit sums with carry, plus the length), which firmware ignores and tools
// show.
uint32_t pe_checksum(ByteView file, uint32_t checksum_offset);

}  // namespace steppe::uki
