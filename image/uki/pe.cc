#include "image/uki/pe.h"

#include <algorithm>
#include <bit>
#include <format>

namespace steppe::uki {
namespace {

constexpr uint32_t kDosHeader = 64, kCoffHeader = 24, kCertificateIndex = 4;

Error corrupt(std::string what) { return Error(Code::kCorrupt, "PE: " + std::move(what)); }

bool inside(uint64_t offset, uint64_t size, uint64_t whole) { return offset <= whole && size <= whole - offset; }

Result<Section> read_section(ByteView file, uint32_t at) {
  const char* row = reinterpret_cast<const char*>(file.data()) + at;
  Section section;
  section.name.assign(row, std::find(row, row + 8, '\0'));
  if (section.name.empty() || !std::ranges::all_of(section.name, [](char c) { return c > 0x20 && c < 0x7f; }))
    return corrupt(std::format("the section header at byte {} has no printable name", at));
  section.size = load_le<uint32_t>(row + 8);
  section.address = load_le<uint32_t>(row + 12);
  section.raw_size = load_le<uint32_t>(row + 16);
  section.offset = load_le<uint32_t>(row + 20);
  section.flags = load_le<uint32_t>(row + 36);
  if (!inside(section.offset, section.raw_size, file.size()))
    return corrupt(std::format("section {} reaches past the end of the file", section.name));
  return section;
}

// Sections in file order, one after the other, behind the headers and before the certificates.
Result<> check_layout(const Pe& pe, size_t file_size) {
  uint64_t file_end = pe.headers_size, memory_end = 0;
  for (const Section& section : pe.sections) {
    if (section.raw_size != 0 && section.offset < file_end)
      return corrupt(std::format("section {} overlaps what stands before it in the file", section.name));
    if (section.raw_size != 0) file_end = uint64_t{section.offset} + section.raw_size;
    if (section.address < memory_end)
      return corrupt(std::format("section {} overlaps the one before it in memory", section.name));
    memory_end = uint64_t{section.address} + section.size;
    if (memory_end > pe.image_size)
      return corrupt(std::format("section {} reaches past the image's size in memory", section.name));
  }
  if (pe.certificate_size == 0) return {};
  if (pe.certificate_offset < file_end || pe.certificate_offset % 8 != 0 ||
      uint64_t{pe.certificate_offset} + pe.certificate_size != file_size)
    return corrupt("the certificate table is not at the end of the file");
  return {};
}

Result<> read_optional(ByteView file, uint32_t at, uint16_t size, Pe& pe) {
  const char* optional = reinterpret_cast<const char*>(file.data()) + at;
  if (size < 112 + 8 * (kCertificateIndex + 1) || load_le<uint16_t>(optional) != 0x20b)
    return corrupt("no 64-bit program (PE32+)");
  pe.section_alignment = load_le<uint32_t>(optional + 32);
  pe.file_alignment = load_le<uint32_t>(optional + 36);
  pe.image_size = load_le<uint32_t>(optional + 56);
  pe.headers_size = load_le<uint32_t>(optional + 60);
  pe.checksum_offset = at + 64;
  const uint32_t directories = load_le<uint32_t>(optional + 108);
  if (directories <= kCertificateIndex || directories > 16 || 112 + 8 * directories > size)
    return corrupt("the data directories do not fit into the header");
  pe.directory_offset = at + 112 + 8 * kCertificateIndex;
  pe.certificate_offset = load_le<uint32_t>(file.data() + pe.directory_offset);
  pe.certificate_size = load_le<uint32_t>(file.data() + pe.directory_offset + 4);
  if ((pe.certificate_offset == 0) != (pe.certificate_size == 0)) return corrupt("half a certificate table");
  const auto power = [](uint32_t value) { return std::has_single_bit(value) && value <= 1u << 20; };
  if (!power(pe.section_alignment) || !power(pe.file_alignment) || pe.file_alignment > pe.section_alignment)
    return corrupt("alignments that are no powers of two");
  return {};
}

}  // namespace

const Section* Pe::find(std::string_view name) const {
  for (const Section& section : sections) {
    if (section.name == name) return &section;
  }
  return nullptr;
}

Result<Pe> read_pe(ByteView file) {
  const char* bytes = reinterpret_cast<const char*>(file.data());
  if (file.size() < kDosHeader || bytes[0] != 'M' || bytes[1] != 'Z')
    return corrupt("the file does not begin with \"MZ\"");
  Pe pe;
  pe.header_offset = load_le<uint32_t>(bytes + 60);
  if (!inside(pe.header_offset, kCoffHeader, file.size()) || std::memcmp(bytes + pe.header_offset, "PE\0\0", 4) != 0)
    return corrupt("no \"PE\" header");
  pe.machine = load_le<uint16_t>(bytes + pe.header_offset + 4);
  const uint16_t count = load_le<uint16_t>(bytes + pe.header_offset + 6);
  const uint16_t optional_size = load_le<uint16_t>(bytes + pe.header_offset + 20);
  const uint32_t optional = pe.header_offset + kCoffHeader;
  if (!inside(optional, optional_size, file.size())) return corrupt("the file ends inside the optional header");
  STEPPE_TRY_VOID(read_optional(file, optional, optional_size, pe));
  pe.section_table = optional + optional_size;
  if (count == 0 || count > kMaxSections)
    return corrupt(std::format("{} sections: expected 1 to {}", count, kMaxSections));
  if (!inside(pe.section_table, count * kSectionHeader, std::min<uint64_t>(pe.headers_size, file.size())) ||
      pe.headers_size > file.size())
    return corrupt("the section table does not fit into the headers");
  for (uint16_t i = 0; i < count; ++i) {
    STEPPE_TRY(Section section, read_section(file, pe.section_table + i * static_cast<uint32_t>(kSectionHeader)));
    if (pe.find(section.name) != nullptr) return corrupt(std::format("two sections are named {}", section.name));
    pe.sections.push_back(std::move(section));
  }
  STEPPE_TRY_VOID(check_layout(pe, file.size()));
  return pe;
}

ByteView section_bytes(ByteView file, const Section& section) {
  return file.subspan(section.offset, std::min(section.size, section.raw_size));
}

uint32_t pe_checksum(ByteView file, uint32_t checksum_offset) {
  uint64_t sum = 0;
  for (size_t at = 0; at < file.size(); at += 2) {
    if (at == checksum_offset || at == checksum_offset + 2) continue;
    sum += at + 1 < file.size() ? load_le<uint16_t>(file.data() + at) : static_cast<uint8_t>(file[at]);
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return static_cast<uint32_t>(sum) + static_cast<uint32_t>(file.size());
}

}  // namespace steppe::uki
