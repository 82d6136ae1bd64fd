#include "init/machine/gpt_write.h"

#include <algorithm>
#include <format>
#include <optional>

#include "init/base/text.h"

namespace steppe::machine {
namespace {

constexpr size_t kHeaderBytes = 92, kLabelUnits = 36;
constexpr uint32_t kEntries = 128, kEntryBytes = 128;
constexpr uint64_t kMib = 1 << 20;

Error misfit(std::string what) { return {Code::kInvalid, "GPT: " + std::move(what)}; }

// UTF-16LE, or nothing when it is longer than an entry has room for or no UTF-8.
std::optional<std::string> label_bytes(std::string_view label) {
  if (!is_utf8(label)) return std::nullopt;
  std::string out;
  auto put = [&](uint32_t unit) { out += static_cast<char>(unit & 0xff), out += static_cast<char>(unit >> 8); };
  for (size_t i = 0; i < label.size();) {
    const auto lead = static_cast<uint8_t>(label[i]);
    const size_t length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    uint32_t point = length == 1 ? lead : lead & (0x7f >> length);
    for (size_t k = 1; k < length; k++) point = point << 6 | (static_cast<uint8_t>(label[i + k]) & 0x3f);
    if (point >= 0x10000) put(0xd800 + ((point - 0x10000) >> 10)), put(0xdc00 + ((point - 0x10000) & 0x3ff));
    else put(point);
    i += length;
  }
  if (out.size() > 2 * kLabelUnits) return std::nullopt;
  out.resize(2 * kLabelUnits, '\0');
  return out;
}

// What is written: where the copies go, and their bytes.
struct Layout {
  uint64_t blocks = 0, block_bytes = 0, table_blocks = 0;
  std::string header;  // of either copy, its own places and checksums not set yet; one block
  std::string table;   // whole blocks
  uint32_t table_crc = 0;

  uint64_t last() const { return blocks - 1; }
  uint64_t backup_table() const { return last() - table_blocks; }

  std::string header_of(bool backup) const {
    std::string out = header;
    store_le<uint64_t>(out.data() + 24, backup ? last() : 1);
    store_le<uint64_t>(out.data() + 32, backup ? 1 : last());
    store_le<uint64_t>(out.data() + 72, backup ? backup_table() : 2);
    store_le<uint32_t>(out.data() + 88, table_crc);
    store_le<uint32_t>(out.data() + 16, 0);
    store_le<uint32_t>(out.data() + 16, crc32(as_bytes(std::string_view(out).substr(0, load_le<uint32_t>(out.data() + 12)))));
    return out;
  }
};

Result<Layout> lay_out(const BlockReader& disk, const GptBytes& from, std::string table) {
  Layout out{.blocks = disk.blocks(), .block_bytes = disk.block_bytes(), .header = from.header};
  const size_t bytes = table.size();
  out.table_blocks = (bytes + out.block_bytes - 1) / out.block_bytes;
  out.table_crc = crc32(as_bytes(table));
  out.table = std::move(table);
  out.table.resize(out.table_blocks * out.block_bytes, '\0');
  if (out.blocks < 2 * out.table_blocks + 6) return misfit("the disk is too small");
  if (2 + out.table_blocks > from.gpt.first_usable) return misfit("its first usable block lies in the table");
  store_le<uint64_t>(out.header.data() + 48, out.backup_table() - 1);  // last usable
  return out;
}

Result<> write_copy(BlockWriter& disk, const Layout& layout, bool backup) {
  STEPPE_TRY_VOID(disk.write(backup ? layout.backup_table() : 2, as_bytes(layout.table)));
  STEPPE_TRY_VOID(disk.flush());
  STEPPE_TRY_VOID(disk.write(backup ? layout.last() : 1, as_bytes(layout.header_of(backup))));
  return disk.flush();
}

// The old table that keeps systems without GPT away: one entry of type EE over the whole disk (UEFI 5.2.3). One block, so it is
// the old or the new one.
Result<> write_protective(BlockWriter& disk, bool anew) {
  std::string block(disk.block_bytes(), '\0');
  if (!anew) STEPPE_TRY_VOID(disk.read(0, std::as_writable_bytes(std::span(block))));
  const bool there = static_cast<uint8_t>(block[510]) == 0x55 && static_cast<uint8_t>(block[511]) == 0xaa;
  const auto covered = static_cast<uint32_t>(std::min<uint64_t>(disk.blocks() - 1, UINT32_MAX));
  if (!anew && (!there || static_cast<uint8_t>(block[450]) != 0xee || load_le<uint32_t>(block.data() + 458) == covered)) return {};
  static constexpr uint8_t kWhole[] = {0x00, 0x00, 0x02, 0x00, 0xee, 0xff, 0xff, 0xff, 0x01, 0x00, 0x00, 0x00};
  if (anew) std::ranges::copy(kWhole, block.begin() + 446);
  store_le<uint32_t>(block.data() + 458, covered);
  block[510] = 0x55;
  block[511] = static_cast<char>(0xaa);
  STEPPE_TRY_VOID(disk.write(0, as_bytes(block)));
  return disk.flush();
}

Result<> apply(const GptChange& change, GptBytes& what) {
  auto entry = [&](uint32_t number) { return what.table.data() + size_t{number - 1} * what.gpt.entry_bytes; };
  auto taken = [&](uint32_t number) { return std::ranges::any_of(what.gpt.partitions, [&](const Partition& p) { return p.number == number; }); };
  for (const GptChange::Grow& grow : change.grow) {
    if (!taken(grow.number)) return misfit(std::format("there is no partition {} to grow", grow.number));
    if (grow.last < load_le<uint64_t>(entry(grow.number) + 40)) return misfit(std::format("partition {} would shrink", grow.number));
    store_le<uint64_t>(entry(grow.number) + 40, grow.last);
  }
  for (const GptChange::Mark& mark : change.mark) {
    if (!taken(mark.number)) return misfit(std::format("there is no partition {} to mark", mark.number));
    if ((mark.bits & ~(kUnfinished | kKeepConfig)) != 0) return misfit(std::format("partition {} would get attributes that are not ours", mark.number));
    store_le<uint64_t>(entry(mark.number) + 48, load_le<uint64_t>(entry(mark.number) + 48) | mark.bits);
  }
  for (uint32_t number : change.finish) {
    if (!taken(number)) return misfit(std::format("there is no partition {} to finish", number));
    store_le<uint64_t>(entry(number) + 48, load_le<uint64_t>(entry(number) + 48) & ~(kUnfinished | kKeepConfig));
  }
  for (const Partition& added : change.add) {
    if (added.number == 0 || added.number > what.gpt.entries || taken(added.number)) return misfit(std::format("entry {} is not free", added.number));
    const std::optional<std::string> label = label_bytes(added.label);
    if (!label) return misfit(std::format("the label of partition {} is no text of at most {} characters", added.number, kLabelUnits));
    char* at = entry(added.number);
    std::fill_n(at, what.gpt.entry_bytes, '\0');
    std::ranges::copy(as_text(added.type), at);
    std::ranges::copy(as_text(added.unique), at + 16);
    store_le<uint64_t>(at + 32, added.first);
    store_le<uint64_t>(at + 40, added.last);
    store_le<uint64_t>(at + 48, added.attributes);
    std::ranges::copy(*label, at + 56);
    what.gpt.partitions.push_back(added);
  }
  return {};
}

// A disk of which only these bytes are there, to judge a table by read_gpt() before anything is written.
class Sketch final : public BlockReader {
 public:
  explicit Sketch(const Layout& layout) : layout_(layout) {}
  uint32_t block_bytes() const override { return static_cast<uint32_t>(layout_.block_bytes); }
  uint64_t blocks() const override { return layout_.blocks; }
  Result<> read(uint64_t first, ByteSpan into) override {
    std::ranges::fill(into, std::byte{0});
    put(first, into, 1, layout_.header_of(false));
    put(first, into, 2, layout_.table);
    put(first, into, layout_.backup_table(), layout_.table);
    put(first, into, layout_.last(), layout_.header_of(true));
    return {};
  }

 private:
  void put(uint64_t first, ByteSpan into, uint64_t at, std::string_view bytes) const {
    if (first > at || at - first >= into.size() / layout_.block_bytes) {
      if (first < at || first - at >= bytes.size() / layout_.block_bytes) return;
      bytes.remove_prefix((first - at) * layout_.block_bytes);
      at = first;
    }
    into = into.subspan((at - first) * layout_.block_bytes);
    std::ranges::copy(as_bytes(bytes.substr(0, into.size())), into.begin());
  }
  const Layout& layout_;
};

Result<Gpt> write_layout(BlockWriter& disk, const Layout& layout, bool primary_first) {
  Sketch sketch(layout);
  Result<GptBytes> meant = read_gpt_bytes(sketch);
  if (!meant.ok()) return misfit("the change does not fit: " + meant.error().message());
  STEPPE_TRY_VOID(write_copy(disk, layout, !primary_first));
  STEPPE_TRY_VOID(write_copy(disk, layout, primary_first));
  STEPPE_TRY(GptBytes found, read_gpt_bytes(disk));
  if (!found.gpt.primary_good || !found.gpt.backup_good || found.table != meant->table) return {Code::kIo, "GPT: the disk does not have what was written to it"};
  return std::move(found.gpt);
}

}  // namespace

Result<Gpt> change_gpt(BlockWriter& disk, const GptChange& change) {
  STEPPE_TRY(GptBytes now, read_gpt_bytes(disk));
  const bool primary_first = !now.gpt.primary_good;
  STEPPE_TRY_VOID(apply(change, now));
  STEPPE_TRY(const Layout layout, lay_out(disk, now, now.table));
  STEPPE_TRY(Gpt written, write_layout(disk, layout, primary_first));
  STEPPE_TRY_VOID(write_protective(disk, false));
  return written;
}

Result<Gpt> new_gpt(BlockWriter& disk, const Guid& id) {
  const uint64_t block = disk.block_bytes(), edge = kMib / block;
  if (disk.blocks() < 8 * edge) return misfit("the disk is too small");
  const std::string nothing(kMib, '\0');
  for (uint64_t first : {uint64_t{0}, disk.blocks() - edge}) STEPPE_TRY_VOID(disk.write(first, as_bytes(nothing)));
  STEPPE_TRY_VOID(disk.flush());
  GptBytes empty{.gpt = {.disk = id, .first_usable = edge, .entries = kEntries, .entry_bytes = kEntryBytes}, .header = std::string(block, '\0'), .table = {}};
  empty.header.replace(0, 8, "EFI PART");
  store_le<uint32_t>(empty.header.data() + 8, 0x10000);
  store_le<uint32_t>(empty.header.data() + 12, kHeaderBytes);
  store_le<uint64_t>(empty.header.data() + 40, edge);
  std::ranges::copy(as_text(id), empty.header.begin() + 56);
  store_le<uint32_t>(empty.header.data() + 80, kEntries);
  store_le<uint32_t>(empty.header.data() + 84, kEntryBytes);
  STEPPE_TRY(const Layout layout, lay_out(disk, empty, std::string(size_t{kEntries} * kEntryBytes, '\0')));
  STEPPE_TRY_VOID(write_protective(disk, true));
  return write_layout(disk, layout, true);
}

}  // namespace steppe::machine
