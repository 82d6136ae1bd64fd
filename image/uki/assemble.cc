#include "image/uki/assemble.h"

#include <algorithm>
#include <format>

#include "image/uki/pe.h"

namespace steppe::uki {
namespace {

constexpr uint32_t kCode = 0x20, kInitializedData = 0x40, kRead = 0x40000000;
constexpr uint16_t kNxCompatible = 0x0100;
constexpr uint64_t kMaxFile = 1u << 30;

uint64_t round_up(uint64_t value, uint64_t alignment) { return (value + alignment - 1) / alignment * alignment; }

uint32_t optional_header(const Pe& pe) { return pe.checksum_offset - 64; }

void add_section(std::string& file, Pe& pe, const Part& part, uint32_t memory_size) {
  const Section& last = pe.sections.back();
  file.resize(round_up(file.size(), pe.file_alignment), '\0');
  Section section{.name = part.name, .size = memory_size, .offset = static_cast<uint32_t>(file.size())};
  section.address = static_cast<uint32_t>(round_up(uint64_t{last.address} + last.size, pe.section_alignment));
  section.flags = kRead | (part.name == ".linux" ? kCode : kInitializedData);
  file += part.content;
  file.resize(round_up(file.size(), pe.file_alignment), '\0');
  section.raw_size = static_cast<uint32_t>(file.size()) - section.offset;
  char* row = file.data() + pe.section_table + pe.sections.size() * kSectionHeader;
  std::memset(row, 0, kSectionHeader);
  std::memcpy(row, section.name.data(), section.name.size());
  store_le(row + 8, section.size);
  store_le(row + 12, section.address);
  store_le(row + 16, section.raw_size);
  store_le(row + 20, section.offset);
  store_le(row + 36, section.flags);
  pe.sections.push_back(std::move(section));
}

Result<> replace_section(std::string& file, const Pe& pe, const Part& part) {
  const size_t index = static_cast<size_t>(pe.find(part.name) - pe.sections.data());
  const Section& section = pe.sections[index];
  if (part.content.size() > section.raw_size)
    return Error(Code::kExhausted, std::format("{}: {} bytes do not fit into the {} of the stub's section", part.name,
                                               part.content.size(), section.raw_size));
  std::memset(file.data() + section.offset, 0, section.raw_size);
  std::memcpy(file.data() + section.offset, part.content.data(), part.content.size());
  store_le(file.data() + pe.section_table + index * kSectionHeader + 8, static_cast<uint32_t>(part.content.size()));
  return {};
}

// What the kernel's own header says: how much memory it takes once started, and whether its data may be executed.
struct Kernel {
  uint32_t memory_size;
  bool nx;
};
Result<Kernel> read_kernel(std::string_view bytes) {
  auto pe = read_pe(as_bytes(bytes));
  if (!pe.ok()) return std::move(pe).error().wrap("the kernel is no EFI program");
  const uint16_t flags = load_le<uint16_t>(bytes.data() + optional_header(*pe) + 70);
  return Kernel{std::max(pe->image_size, static_cast<uint32_t>(bytes.size())), (flags & kNxCompatible) != 0};
}

Result<> check_room(const Pe& pe, const std::vector<Part>& parts) {
  uint64_t size = 0;
  size_t added = 0;
  for (const Part& part : parts) {
    if (part.name.empty() || part.name.size() > 8)
      return Error(Code::kInvalid, std::format("section name \"{}\": expected 1 to 8 bytes", part.name));
    size += part.content.size();
    if (pe.find(part.name) == nullptr) ++added;
  }
  if (size > kMaxFile) return Error(Code::kExhausted, std::format("an image of {} bytes: at most {}", size, kMaxFile));
  if (pe.certificate_size != 0) return Error(Code::kInvalid, "the stub is signed: take the unsigned one");
  if (pe.sections.size() + added > kMaxSections ||
      pe.section_table + (pe.sections.size() + added) * kSectionHeader > pe.headers_size)
    return Error(Code::kExhausted, std::format("the stub's header has no room for {} more sections", added));
  return {};
}

}  // namespace

Result<std::string> assemble(ByteView stub, std::vector<Part> parts) {
  auto read = read_pe(stub);
  if (!read.ok()) return std::move(read).error().wrap("the stub");
  Pe pe = *std::move(read);
  STEPPE_TRY_VOID(check_room(pe, parts));
  std::ranges::stable_partition(parts, [](const Part& part) { return part.name != ".linux"; });
  std::string file(as_text(stub));
  const uint32_t optional = optional_header(pe);
  uint32_t data_size = load_le<uint32_t>(file.data() + optional + 8);
  uint16_t flags = load_le<uint16_t>(file.data() + optional + 70);
  for (const Part& part : parts) {
    if (pe.find(part.name) != nullptr) {
      STEPPE_TRY_VOID(replace_section(file, pe, part));
      continue;
    }
    uint32_t memory_size = static_cast<uint32_t>(part.content.size());
    if (part.name == ".linux") {
      STEPPE_TRY(const Kernel kernel, read_kernel(part.content));
      memory_size = kernel.memory_size;
      if (!kernel.nx) flags &= static_cast<uint16_t>(~kNxCompatible);
    }
    add_section(file, pe, part, memory_size);
    data_size += memory_size;
  }
  const Section& last = pe.sections.back();
  store_le(file.data() + pe.header_offset + 6, static_cast<uint16_t>(pe.sections.size()));
  store_le(file.data() + optional + 8, data_size);
  store_le(file.data() + optional + 56,
           static_cast<uint32_t>(round_up(uint64_t{last.address} + last.size, pe.section_alignment)));
  store_le(file.data() + optional + 70, flags);
  store_le(file.data() + pe.checksum_offset, pe_checksum(as_bytes(file), pe.checksum_offset));
  return file;
}

std::string merge_sbat(ByteView stub, std::string_view lines) {
  std::string out;
  if (auto pe = read_pe(stub); pe.ok()) {
    if (const Section* section = pe->find(".sbat")) out = as_text(section_bytes(stub, *section));
  }
  while (!out.empty() && out.back() == '\0') out.pop_back();
  out += lines;
  return out;
}

}  // namespace steppe::uki
