#include "init/machine/storage/content.h"

#include <algorithm>

namespace steppe::storage {
namespace {

constexpr size_t kHead = 128 << 10;
constexpr uint64_t kSpareSuperblock = uint64_t{32768} * 4096;  // of the second block group, as mke2fs is told to lay it out
constexpr size_t kSuperblock = 1024, kMagicAt = 56;
constexpr std::string_view kExtMagic = "\x53\xef";

struct Sign {
  size_t at;
  std::string_view bytes;
  const char* name;
};
using std::string_view_literals::operator""sv;
constexpr Sign kSigns[] = {
    {kSuperblock + kMagicAt, kExtMagic, "ext4"},
    {0, "XFSB", "xfs"},
    {65600, "_BHRfS_M", "btrfs"},
    {0, "LUKS\xba\xbe"sv, "crypto_LUKS"},
    {512, "LABELONE", "LVM2_member"},
    {4086, "SWAPSPACE2", "swap"},
    {0, "hsqs", "squashfs"},
    {82, "FAT32   ", "vfat"},
    {54, "FAT16   ", "vfat"},
    {54, "FAT12   ", "vfat"},
    {32769, "CD001", "iso9660"},
    {510, "\x55\xaa", "dos"},
};

// Up to `bytes` from a place that is a multiple of 4096; fewer at the end, none past it.
Result<std::string> read_up_to(machine::BlockReader& disk, uint64_t offset, size_t bytes) {
  const uint64_t block = disk.block_bytes(), first = offset / block;
  if (first >= disk.blocks()) return std::string();
  std::string out(std::min<uint64_t>(bytes / block, disk.blocks() - first) * block, '\0');
  STEPPE_TRY_VOID(disk.read(first, std::as_writable_bytes(std::span(out))));
  return out;
}

bool has(std::string_view bytes, size_t at, std::string_view sign) { return bytes.size() >= at + sign.size() && bytes.substr(at, sign.size()) == sign; }

}  // namespace

Result<std::string> content_of(machine::BlockReader& disk) {
  STEPPE_TRY(const std::string head, read_up_to(disk, 0, kHead));
  for (const Sign& sign : kSigns) {
    if (has(head, sign.at, sign.bytes)) return std::string(sign.name);
  }
  // Not at 1024 there: the copies stand at the beginning of their block.
  STEPPE_TRY(const std::string spare, read_up_to(disk, kSpareSuperblock, 4096));
  if (has(spare, kMagicAt, kExtMagic)) return std::string("ext4");
  return std::string(std::ranges::all_of(head, [](char c) { return c == 0; }) ? "" : "unknown data");
}

Result<Bytes> ext4_size(machine::BlockReader& disk) {
  STEPPE_TRY(const std::string head, read_up_to(disk, 0, 4096));
  if (!has(head, kSuperblock + kMagicAt, kExtMagic)) return Error(Code::kNotFound, "no ext4 superblock");
  const char* super = head.data() + kSuperblock;
  // Documentation/filesystems/ext4/super.rst: s_blocks_count_lo, s_log_block_size, s_feature_incompat (64BIT is 0x80), s_blocks_count_hi.
  const uint32_t log = load_le<uint32_t>(super + 24);
  if (log > 6) return Error(Code::kCorrupt, "ext4: blocks of more than 64 KiB");
  uint64_t blocks = load_le<uint32_t>(super + 4);
  if ((load_le<uint32_t>(super + 96) & 0x80) != 0) blocks |= uint64_t{load_le<uint32_t>(super + 0x150)} << 32;
  if (blocks > (UINT64_MAX >> 16)) return Error(Code::kCorrupt, "ext4: more blocks than there can be");
  return Bytes{blocks << (10 + log)};
}

}  // namespace steppe::storage
