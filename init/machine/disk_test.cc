#include <gtest/gtest.h>

#include "init/machine/disk_plan.h"
#include "init/machine/gpt.h"
#include "init/machine/layout.h"

namespace steppe::machine {
namespace {

class Disk final : public BlockReader {
 public:
  explicit Disk(uint64_t blocks, uint32_t block = 512) : bytes(blocks * block, '\0'), block_(block) {}
  uint32_t block_bytes() const override { return block_; }
  uint64_t blocks() const override { return bytes.size() / block_; }
  Result<> read(uint64_t first, ByteSpan into) override {
    EXPECT_LE(first * block_ + into.size(), bytes.size());
    std::ranges::copy(as_bytes(bytes).subspan(first * block_, into.size()), into.begin());
    return {};
  }
  template <class T>
  void put(size_t at, T value) {
    store_le(bytes.data() + at, value);
  }
  std::string bytes;

 private:
  uint32_t block_;
};

struct Entry {
  std::string_view type;
  uint64_t first, last;
  std::string label;
};

// Both copies, as sfdisk writes them: 128 entries of 128 bytes.
void write_gpt(Disk& disk, const std::vector<Entry>& entries) {
  size_t block = disk.block_bytes();
  uint64_t table_blocks = 128 * 128 / block, last = disk.blocks() - 1;
  for (bool backup : {false, true}) {
    size_t table = (backup ? last - table_blocks : 2) * block;
    for (size_t i = 0; i < entries.size(); i++) {
      Guid type = *parse_guid(entries[i].type);
      disk.bytes.replace(table + 128 * i, 16, as_text(type));
      disk.bytes[table + 128 * i + 16] = static_cast<char>(i + 1);
      disk.put(table + 128 * i + 32, entries[i].first);
      disk.put(table + 128 * i + 40, entries[i].last);
      for (size_t j = 0; j < entries[i].label.size(); j++) disk.bytes[table + 128 * i + 56 + 2 * j] = entries[i].label[j];
    }
    size_t at = (backup ? last : 1) * block;
    disk.bytes.replace(at, 8, "EFI PART");
    disk.put(at + 8, uint32_t{0x10000});
    disk.put(at + 12, uint32_t{92});
    disk.put(at + 24, backup ? last : uint64_t{1});
    disk.put(at + 32, backup ? uint64_t{1} : last);
    disk.put(at + 40, 2 + table_blocks);
    disk.put(at + 48, last - table_blocks - 1);
    disk.bytes[at + 56] = 'D';
    disk.put(at + 72, backup ? last - table_blocks : uint64_t{2});
    disk.put(at + 80, uint32_t{128});
    disk.put(at + 84, uint32_t{128});
    disk.put(at + 88, crc32(as_bytes(disk.bytes).subspan(table, 128 * 128)));
    disk.put(at + 16, uint32_t{0});
    disk.put(at + 16, crc32(as_bytes(disk.bytes).subspan(at, 92)));
  }
}

const std::vector<Entry> kTwo = {{kTypeData, 300, 399, "STEPPE-DATA"}, {kTypeEsp, 64, 199, "STEPPE-ESP"}};

TEST(Gpt, ReadsEitherCopy) {
  EXPECT_EQ(crc32(as_bytes("123456789")), 0xcbf43926u);
  EXPECT_EQ(guid_text(*parse_guid(kTypeEsp)), kTypeEsp);
  EXPECT_EQ(hex(*parse_guid(kTypeEsp)), "28732ac11ff8d211ba4b00a0c93ec93b");  // as UEFI has it on disk
  for (uint32_t block : {512u, 4096u}) {
    Disk disk(1000, block);
    write_gpt(disk, kTwo);
    Result<Gpt> gpt = read_gpt(disk);
    ASSERT_TRUE(gpt.ok()) << gpt.error().message();
    ASSERT_EQ(gpt->partitions.size(), 2u);
    EXPECT_EQ(gpt->partitions[0].label, "STEPPE-ESP");
    EXPECT_EQ(gpt->partitions[0].number, 2u);
    EXPECT_TRUE(gpt->primary_good && gpt->backup_good);

    Disk torn = disk;
    torn.bytes[1 * block + 50] ^= 1;
    gpt = read_gpt(torn);
    ASSERT_TRUE(gpt.ok());
    EXPECT_TRUE(!gpt->primary_good && gpt->backup_good);
    torn.bytes[999 * block + 50] ^= 1;
    EXPECT_EQ(read_gpt(torn).error().code(), Code::kCorrupt);

    torn = disk;
    torn.bytes[2 * block + 33] ^= 1;  // in the table
    EXPECT_FALSE(read_gpt(torn)->primary_good);

    Disk larger = disk;  // an image written to a larger disk
    larger.bytes.resize(2000 * block);
    gpt = read_gpt(larger);
    ASSERT_TRUE(gpt.ok());
    EXPECT_TRUE(gpt->primary_good && !gpt->backup_good);
  }
  Disk blank(1000);
  EXPECT_EQ(read_gpt(blank).error().code(), Code::kNotFound);
  Disk tiny(10);
  EXPECT_EQ(read_gpt(tiny).error().code(), Code::kNotFound);
}

TEST(Gpt, RefusesWhatDoesNotAddUp) {
  const std::vector<std::vector<Entry>> wrong = {
      {{kTypeEsp, 64, 199, ""}, {kTypeData, 199, 300, ""}},  // overlap
      {{kTypeEsp, 64, 63, ""}},                              // backwards
      {{kTypeEsp, 10, 63, ""}},                              // over the table
      {{kTypeEsp, 64, 999, ""}},                             // over the backup
      {{kTypeEsp, 64, UINT64_MAX, ""}},
  };
  for (const auto& entries : wrong) {
    Disk disk(1000);
    write_gpt(disk, entries);
    EXPECT_EQ(read_gpt(disk).error().code(), Code::kCorrupt) << entries[0].last;
  }
  for (std::string_view bad : {"", "C12A7328", "C12A7328-F81F-11D2-BA4B-00A0C93EC93", "C12A7328-F81F-11D2-BA4B-00A0C93EC93BX",
                               "C12A7328xF81F-11D2-BA4B-00A0C93EC93B"})
    EXPECT_FALSE(parse_guid(bad).ok()) << bad;
}

constexpr uint64_t kMib = 2048;  // blocks

Gpt gpt_of(const std::vector<Entry>& entries, uint64_t disk_mib) {
  Gpt gpt{.first_usable = kMib, .last_usable = disk_mib * kMib - kMib - 1};
  for (const Entry& entry : entries)
    gpt.partitions.push_back({.number = static_cast<uint32_t>(gpt.partitions.size() + 1), .type = *parse_guid(entry.type), .first = entry.first * kMib,
                              .last = entry.last * kMib - 1, .label = entry.label});
  return gpt;
}
DiskFacts disk_of(uint64_t mib, const std::vector<Entry>& entries, std::vector<std::string> filesystems) {
  return {.device = "/dev/vda", .bytes = mib << 20, .gpt = gpt_of(entries, mib), .booted = true, .filesystems = std::move(filesystems)};
}

std::string text(const std::vector<DiskAction>& actions) {
  static constexpr const char* kSteps[] = {"fix", "wipe", "create", "grow", "format", "use", "refuse"};
  std::string out;
  for (const DiskAction& action : actions) {
    out += (out.empty() ? "" : ", ") + std::string(kSteps[static_cast<size_t>(action.step)]);
    if (action.step == DiskStep::kCreate)
      out += " " + std::to_string(action.number) + " " + action.label + " " + std::to_string(action.first / kMib) + "-" +
             std::to_string((action.last + 1) / kMib);
    else if (action.step == DiskStep::kGrow) out += " " + std::to_string(action.number) + " to " + std::to_string((action.last + 1) / kMib);
    else if (action.number) out += " " + std::to_string(action.number);
    if (!action.why.empty()) out += ": " + action.why;
  }
  return out;
}

const Entry kEsp{kTypeEsp, 1, 513, "STEPPE-ESP"};
const Entry kState{kTypeState, 513, 1537, "STEPPE-STATE"};
const Entry kData{kTypeData, 1537, 4000, "STEPPE-DATA"};
constexpr std::string_view kLinuxData = "0FC63DAF-8483-4772-8E79-3D69D8477DE4";

struct Case {
  const char* what;
  std::vector<DiskFacts> disks;
  Disks wanted;
  const char* actions;
};
void check(const std::vector<Case>& cases) {
  for (const Case& c : cases) EXPECT_EQ(text(plan_disks(c.disks, c.wanted)), c.actions) << c.what;
}

TEST(DiskPlan, UsesTheDiskThatWasBootedFrom) {
  DiskFacts grown = disk_of(10000, {kEsp}, {"vfat"});
  grown.gpt->last_usable = 600 * kMib;
  grown.gpt->backup_good = false;
  check({
      {"first boot",
       {disk_of(10000, {kEsp}, {"vfat"})},
       {},
       "create 2 STEPPE-STATE 513-1537, format 2, create 3 STEPPE-DATA 1537-9999, format 3"},
      {"an image on a larger disk", {grown}, {}, "fix, create 2 STEPPE-STATE 513-1537, format 2, create 3 STEPPE-DATA 1537-9999, format 3"},
      {"a small disk",
       {disk_of(1300, {kEsp}, {"vfat"})},
       {},
       "create 2 STEPPE-STATE 513-787, format 2, create 3 STEPPE-DATA 787-1299, format 3"},
      {"too small",
       {disk_of(700, {kEsp}, {"vfat"})},
       {},
       "create 2 STEPPE-STATE 513-641, format 2, refuse: there is no room for STEPPE-DATA: 58 MiB are left after the last partition, 512 "
       "MiB are needed"},
      {"as it was", {disk_of(4001, {kEsp, kState, kData}, {"vfat", "ext4", "ext4"})}, {}, "use 2, use 3"},
      {"the disk grew", {disk_of(9000, {kEsp, kState, kData}, {"vfat", "ext4", "ext4"})}, {}, "use 2, grow 3 to 8999, use 3"},
      {"cut before formatting", {disk_of(4001, {kEsp, kState, kData}, {"vfat", "", "ext4"})}, {}, "format 2, use 3"},
      {"state holds another filesystem",
       {disk_of(4001, {kEsp, kState, kData}, {"vfat", "xfs", "ext4"})},
       {},
       "refuse: partition 2 (STEPPE-STATE) holds xfs, expected ext4, use 3"},
      {"two of them",
       {disk_of(4001, {kEsp, kState, {kTypeState, 1537, 1600, "STEPPE-STATE"}, {kTypeData, 1600, 4000, "STEPPE-DATA"}},
                {"vfat", "ext4", "ext4", "ext4"})},
       {},
       "refuse: it has two partitions STEPPE-STATE, use 4"},
      {"one with another label",
       {disk_of(4001, {kEsp, kState, {kTypeState, 1537, 1600, "old"}, {kTypeData, 1600, 4000, "x"}}, {"vfat", "ext4", "ext4", "ext4"})},
       {},
       "use 2, use 4"},
  });
}

TEST(DiskPlan, NeverTouchesAForeignDiskUnasked) {
  DiskChoice by_serial{.serial = "S1"}, by_serial_wipe{.serial = "S1", .wipe = true};
  DiskFacts blank{.device = "/dev/vdb", .serial = "S1", .bytes = 10000ull << 20};
  DiskFacts foreign = blank, table = blank, broken = blank;
  foreign.content = "LVM2_member";
  table.gpt = gpt_of({{kLinuxData, 1, 100, "home"}}, 10000);
  table.filesystems = {"xfs"};
  broken.gpt_damaged = true;
  DiskFacts unknown = disk_of(4001, {kEsp, kState, kData}, {"vfat", "ext4", "ext4"});
  unknown.booted = false;
  DiskFacts stick = unknown, data_only = disk_of(4001, {kData}, {"ext4"});
  stick.removable = true;
  data_only.booted = false;
  check({
      {"netboot, nothing chosen", {foreign}, {}, ""},
      {"a system of ours, not known to be booted", {unknown, foreign}, {}, "use 2, use 3"},
      {"two of them", {unknown, unknown}, {}, "refuse: more than one disk has a system of ours: /dev/vda, /dev/vda"},
      {"one that can be pulled out", {stick}, {}, ""},
      {"data of ours alone is no system", {data_only}, {}, ""},
      {"chosen and blank",
       {blank},
       {.system = by_serial},
       "wipe, create 1 STEPPE-STATE 1-1025, format 1, create 2 STEPPE-DATA 1025-9999, format 2"},
      {"chosen and foreign", {foreign}, {.system = by_serial}, "refuse: it holds LVM2_member"},
      {"chosen, foreign, wiped",
       {foreign},
       {.system = by_serial_wipe},
       "wipe, create 1 STEPPE-STATE 1-1025, format 1, create 2 STEPPE-DATA 1025-9999, format 2"},
      {"a foreign table", {table}, {.system = by_serial}, "refuse: its partition table is not one of ours"},
      {"a foreign table, wiped",
       {table},
       {.system = by_serial_wipe},
       "wipe, create 1 STEPPE-STATE 1-1025, format 1, create 2 STEPPE-DATA 1025-9999, format 2"},
      {"a damaged table", {broken}, {.system = by_serial}, "refuse: its partition table is damaged"},
      {"wipe spares what was booted from",
       {[&] {
         DiskFacts disk = disk_of(4001, {kEsp, kState, kData}, {"vfat", "ext4", "ext4"});
         disk.serial = "S1";
         return disk;
       }()},
       {.system = by_serial_wipe},
       "use 2, use 3"},
      {"data on a disk of its own",
       {disk_of(4001, {kEsp, kState}, {"vfat", "ext4"}), blank},
       {.data = by_serial},
       "use 2, wipe, create 1 STEPPE-DATA 1-9999, format 1"},
      {"data's disk is foreign",
       {disk_of(4001, {kEsp, kState}, {"vfat", "ext4"}), foreign},
       {.data = by_serial},
       "use 2, refuse: it holds LVM2_member"},
      {"two fit", {blank, blank}, {.system = by_serial}, "refuse: the choice fits more than one disk: /dev/vdb, /dev/vdb"},
      {"none fits", {foreign}, {.system = DiskChoice{.serial = "S2"}}, "refuse: no disk fits the choice"},
  });
}

}  // namespace
}  // namespace steppe::machine
