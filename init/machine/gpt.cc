#include "init/machine/gpt.h"

#include <algorithm>

#include "init/base/text.h"

namespace steppe::machine {

namespace {

constexpr std::string_view kSignature = "EFI PART";
constexpr size_t kHeaderBytes = 92, kMaxTable = 128 << 10, kMinEntry = 128;
// Where the text of a GUID has its bytes: the first three groups are written as little-endian integers.
constexpr uint8_t kGuidOrder[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};

Error damaged(std::string what) { return {Code::kCorrupt, "GPT: " + std::move(what)}; }

template <class T>
T at(std::string_view bytes, size_t offset) {
  return load_le<T>(bytes.data() + offset);
}

Guid guid_at(std::string_view bytes, size_t offset) {
  Guid guid;
  std::ranges::copy(as_bytes(bytes.substr(offset, 16)), guid.begin());
  return guid;
}

void append_utf8(std::string& out, uint32_t point) {
  auto put = [&](uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (point < 0x80) return put(point);
  if (point < 0x800) {
    put(0xc0 | point >> 6);
  } else if (point < 0x10000) {
    put(0xe0 | point >> 12);
    put(0x80 | (point >> 6 & 0x3f));
  } else {
    put(0xf0 | point >> 18);
    put(0x80 | (point >> 12 & 0x3f));
    put(0x80 | (point >> 6 & 0x3f));
  }
  put(0x80 | (point & 0x3f));
}

// UTF-16LE up to the first zero; what is no character becomes U+FFFD.
std::string label_of(std::string_view bytes) {
  std::string label;
  for (size_t i = 0; i + 2 <= bytes.size(); i += 2) {
    uint32_t unit = at<uint16_t>(bytes, i);
    if (unit == 0) break;
    uint32_t next = i + 4 <= bytes.size() ? at<uint16_t>(bytes, i + 2) : 0;
    if (unit >= 0xd800 && unit < 0xdc00 && next >= 0xdc00 && next < 0xe000) {
      append_utf8(label, 0x10000 + ((unit - 0xd800) << 10) + (next - 0xdc00));
      i += 2;
    } else {
      append_utf8(label, unit >= 0xd800 && unit < 0xe000 ? 0xfffd : unit);
    }
  }
  return label;
}

Result<std::string> read_bytes(BlockReader& disk, uint64_t first, size_t bytes) {
  uint32_t block = disk.block_bytes();
  size_t rounded = (bytes + block - 1) / block * block;
  if (first > disk.blocks() || disk.blocks() - first < rounded / block) return damaged("its table is past the disk's end");
  std::string content(rounded, '\0');
  STEPPE_TRY_VOID(disk.read(first, std::as_writable_bytes(std::span(content))));
  content.resize(bytes);
  return content;
}

Result<> read_entries(std::string_view table, Gpt& gpt) {
  for (uint32_t i = 0; i < gpt.entries; i++) {
    std::string_view entry = table.substr(size_t{i} * gpt.entry_bytes, gpt.entry_bytes);
    Partition partition{.number = i + 1, .type = guid_at(entry, 0), .unique = guid_at(entry, 16)};
    if (partition.type == Guid{}) continue;
    partition.first = at<uint64_t>(entry, 32);
    partition.last = at<uint64_t>(entry, 40);
    partition.attributes = at<uint64_t>(entry, 48);
    partition.label = label_of(entry.substr(56, 72));
    if (partition.first < gpt.first_usable || partition.last > gpt.last_usable || partition.first > partition.last)
      return damaged("partition " + std::to_string(i + 1) + " is outside the usable blocks");
    gpt.partitions.push_back(std::move(partition));
  }
  std::ranges::sort(gpt.partitions, {}, &Partition::first);
  for (size_t i = 1; i < gpt.partitions.size(); i++)
    if (gpt.partitions[i].first <= gpt.partitions[i - 1].last)
      return damaged("partitions " + std::to_string(gpt.partitions[i - 1].number) + " and " + std::to_string(gpt.partitions[i].number) + " overlap");
  return {};
}

// kNotFound: no signature there.
Result<GptBytes> read_copy(BlockReader& disk, uint64_t where) {
  STEPPE_TRY(std::string block, read_bytes(disk, where, disk.block_bytes()));
  if (!block.starts_with(kSignature)) return {Code::kNotFound, "GPT: no header at block " + std::to_string(where)};
  uint32_t size = at<uint32_t>(block, 12);
  if (size < kHeaderBytes || size > block.size()) return damaged("its header says " + std::to_string(size) + " bytes");
  std::string header = block.substr(0, size);
  store_le<uint32_t>(header.data() + 16, 0);
  if (crc32(as_bytes(header)) != at<uint32_t>(block, 16)) return damaged("the header at block " + std::to_string(where) + " does not have its checksum");
  if (at<uint32_t>(block, 8) >> 16 != 1) return {Code::kUnsupported, "GPT: of another major revision than 1"};
  if (at<uint64_t>(block, 24) != where) return damaged("the header at block " + std::to_string(where) + " says that it is elsewhere");
  Gpt gpt{.disk = guid_at(block, 56),
          .first_usable = at<uint64_t>(block, 40),
          .last_usable = at<uint64_t>(block, 48),
          .backup_at = at<uint64_t>(block, 32)};
  uint64_t table_at = at<uint64_t>(block, 72);
  gpt.entries = at<uint32_t>(block, 80);
  gpt.entry_bytes = at<uint32_t>(block, 84);
  bool power = gpt.entry_bytes >= kMinEntry && (gpt.entry_bytes & (gpt.entry_bytes - 1)) == 0;
  if (!power || gpt.entry_bytes > kMaxTable || gpt.entries == 0 || gpt.entries > kMaxTable / gpt.entry_bytes)
    return damaged(std::to_string(gpt.entries) + " entries of " + std::to_string(gpt.entry_bytes) + " bytes");
  if (gpt.first_usable < 2 || gpt.first_usable > gpt.last_usable || gpt.last_usable >= disk.blocks())
    return damaged("its usable blocks are not on the disk");
  STEPPE_TRY(std::string table, read_bytes(disk, table_at, size_t{gpt.entries} * gpt.entry_bytes));
  if (crc32(as_bytes(table)) != at<uint32_t>(block, 88)) return damaged("its table does not have its checksum");
  STEPPE_TRY_VOID(read_entries(table, gpt));
  return GptBytes{std::move(gpt), std::move(block), std::move(table)};
}

}  // namespace

Result<Guid> parse_guid(std::string_view text) {
  std::string digits;
  for (size_t i = 0; i < text.size(); i++) {
    bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash != (text[i] == '-')) return {Code::kInvalid, "\"" + std::string(text.substr(0, 40)) + "\" is no GUID"};
    if (!dash) digits.push_back(text[i]);
  }
  Result<std::string> bytes = unhex(digits);
  if (text.size() != 36 || !bytes.ok()) return {Code::kInvalid, "\"" + std::string(text.substr(0, 40)) + "\" is no GUID"};
  Guid guid;
  for (size_t i = 0; i < guid.size(); i++) guid[kGuidOrder[i]] = static_cast<std::byte>((*bytes)[i]);
  return guid;
}

std::string guid_text(const Guid& guid) {
  Guid ordered;
  for (size_t i = 0; i < guid.size(); i++) ordered[i] = guid[kGuidOrder[i]];
  std::string text = hex(ordered);
  for (size_t dash : {8, 13, 18, 23}) text.insert(dash, "-");
  for (char& c : text)
    if (c >= 'a' && c <= 'f') c = static_cast<char>(c - 'a' + 'A');
  return text;
}

uint32_t crc32(ByteView bytes) {
  static constexpr std::array<uint32_t, 256> kTable = [] {
    std::array<uint32_t, 256> table{};
    for (uint32_t value = 0; value < 256; value++) {
      table[value] = value;
      for (int i = 0; i < 8; i++) table[value] = table[value] >> 1 ^ (0xedb88320 & (0u - (table[value] & 1)));
    }
    return table;
  }();
  uint32_t crc = ~0u;
  for (std::byte byte : bytes) crc = crc >> 8 ^ kTable[(crc ^ static_cast<uint8_t>(byte)) & 0xff];
  return ~crc;
}

Result<Gpt> read_gpt(BlockReader& disk) {
  STEPPE_TRY(GptBytes found, read_gpt_bytes(disk));
  return std::move(found.gpt);
}

Result<GptBytes> read_gpt_bytes(BlockReader& disk) {
  if (disk.blocks() < 34 || disk.block_bytes() < 512 || disk.block_bytes() > 4096) return {Code::kNotFound, "GPT: the disk is too small for one"};
  Result<GptBytes> primary = read_copy(disk, 1);
  // The primary knows where its backup is; a disk image written to a larger disk has it in the middle.
  uint64_t last = disk.blocks() - 1;
  uint64_t backup_at = primary.ok() && primary->gpt.backup_at > 1 && primary->gpt.backup_at <= last ? primary->gpt.backup_at : last;
  Result<GptBytes> backup = read_copy(disk, backup_at);
  if (primary.ok()) {
    // Of two whole copies that differ the first counts; the second is to be written again.
    primary->gpt.backup_good = backup.ok() && backup->gpt.disk == primary->gpt.disk && backup->table == primary->table && primary->gpt.backup_at == last;
    return primary;
  }
  if (backup.ok()) {
    backup->gpt.primary_good = false;
    return backup;
  }
  bool none = primary.error().code() == Code::kNotFound && backup.error().code() == Code::kNotFound;
  if (none) return {Code::kNotFound, "GPT: the disk has none"};
  return primary.error().code() == Code::kNotFound ? std::move(backup) : std::move(primary);
}

}  // namespace steppe::machine
