#include "image/disk/layout.h"

#include <format>

#include "init/machine/layout.h"

namespace steppe::disk {
namespace {
constexpr Bytes kLeastEsp = Bytes::mib(64);

// FAT's own tables, directories and the rounding to clusters take less than this.
uint64_t with_tables(Bytes content) { return content.count + content.count / 50 + (1u << 20); }

}  // namespace

std::string guid_of(std::string_view digest) {
  std::string bytes(digest.substr(0, 16));
  bytes.resize(16, '\0');
  bytes[6] = static_cast<char>((bytes[6] & 0x0f) | 0x80);
  bytes[8] = static_cast<char>((bytes[8] & 0x3f) | 0x80);
  const std::string text = hex(as_bytes(bytes));
  return std::format("{}-{}-{}-{}-{}", text.substr(0, 8), text.substr(8, 4), text.substr(12, 4), text.substr(16, 4),
                     text.substr(20));
}

Result<Layout> make_layout(Bytes size, Bytes content, std::string_view seed) {
  if (seed.size() < 32) return Error(Code::kInvalid, "the ids of a disk need a seed of 32 bytes");
  Layout layout;
  layout.size.count = (size.count + kAlignment.count - 1) / kAlignment.count * kAlignment.count;
  layout.esp_start = kAlignment;
  if (layout.size.count < kLeastEsp.count + 2 * kAlignment.count)
    return Error(Code::kInvalid,
                 std::format("a disk of {} MiB: at least {}", layout.size.count >> 20, (kLeastEsp.count >> 20) + 2));
  layout.esp_size.count = layout.size.count - 2 * kAlignment.count;  // the last MiB holds the second partition table
  if (with_tables(content) > layout.esp_size.count)
    return Error(Code::kInvalid, std::format("a disk of {} MiB does not hold files of {} MiB", layout.size.count >> 20,
                                             (content.count >> 20) + 1));
  layout.disk_id = guid_of(seed);
  layout.esp_id = guid_of(seed.substr(16));
  layout.serial = load_le<uint32_t>(seed.data() + 4);
  return layout;
}

Result<FileSystem> make_file_system(Bytes content, std::string_view seed) {
  if (seed.size() < 32) return Error(Code::kInvalid, "the ids of a file system need a seed of 32 bytes");
  return FileSystem{.size = {(with_tables(content) + kAlignment.count - 1) / kAlignment.count * kAlignment.count},
                    .id = guid_of(seed.substr(8)),
                    .serial = load_le<uint32_t>(seed.data() + 4)};
}

std::string sfdisk_script(const Layout& layout) {
  return std::format(
      "label: gpt\nlabel-id: {}\nunit: sectors\nfirst-lba: 2048\nstart={}, size={}, type={}, uuid={}, name=\"{}\"\n",
      layout.disk_id, layout.esp_start.count / kSector, layout.esp_size.count / kSector, machine::kTypeEsp,
      layout.esp_id, machine::kLabelEsp);
}

}  // namespace steppe::disk
