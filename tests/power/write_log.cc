#include "tests/power/write_log.h"

namespace steppe::power {

namespace {

constexpr uint64_t kMagic = 0x6a736677736872, kVersion = 1;
constexpr uint64_t kFlush = 1, kFua = 2, kDiscard = 4, kMark = 8;
constexpr uint64_t kMaxWrite = 64u << 20;

}  // namespace

Result<std::vector<LoggedWrite>> read_write_log(ByteView file) {
  auto field = [&](uint64_t offset) { return load_le<uint64_t>(reinterpret_cast<const char*>(file.data()) + offset); };
  if (file.size() < 28 || field(0) != kMagic) return {Code::kInvalid, "no log of writes: its super block is missing"};
  if (field(8) != kVersion) return {Code::kUnsupported, "a log of writes of version " + std::to_string(field(8))};
  uint64_t sector = load_le<uint32_t>(reinterpret_cast<const char*>(file.data()) + 24);
  if (sector < 512 || sector > 4096 || (sector & (sector - 1)) != 0) return {Code::kCorrupt, "log sectors of " + std::to_string(sector) + " bytes"};
  std::vector<LoggedWrite> writes;
  for (uint64_t at = sector; at + 32 <= file.size();) {
    uint64_t began = at, first = field(at), count = field(at + 8), flags = field(at + 16), bytes = count * sector;
    // Past the last entry lie zeros or nothing. A write of no sectors at 0 without flags is no entry either.
    if (first == 0 && count == 0 && flags == 0) break;
    auto where = [&] { return "entry " + std::to_string(writes.size()) + " at " + std::to_string(began); };
    if ((flags & ~(kFlush | kFua | kDiscard | kMark)) != 0) return {Code::kCorrupt, where() + " has flags " + std::to_string(flags)};
    if (count > kMaxWrite / sector && !(flags & kDiscard)) return {Code::kCorrupt, where() + " has " + std::to_string(count) + " sectors"};
    LoggedWrite write{.at = first * sector, .flush = (flags & kFlush) != 0, .durable = (flags & kFua) != 0};
    at += sector;
    if (!(flags & kDiscard)) {
      if (at > file.size() || file.size() - at < bytes) return {Code::kCorrupt, where() + " is cut off"};
      write.bytes = file.subspan(at, bytes);
      at += bytes;
    }
    writes.push_back(write);
  }
  return writes;
}

}  // namespace steppe::power
