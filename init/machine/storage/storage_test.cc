#include "init/machine/storage/storage.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "init/base/text.h"
#include "init/machine/layout.h"
#include "init/machine/storage/content.h"

namespace steppe::storage {
namespace {

using machine::BlockWriter;
using machine::Guid;
using machine::Partition;

constexpr uint64_t kMib = 2048;  // blocks

// A disk of any size of which only the blocks that were written are kept.
class SparseDisk final : public BlockWriter {
 public:
  SparseDisk(std::map<uint64_t, std::string>& blocks, uint64_t count) : blocks_(blocks), count_(count) {}
  uint32_t block_bytes() const override { return 512; }
  uint64_t blocks() const override { return count_; }
  Result<> read(uint64_t first, ByteSpan into) override {
    EXPECT_LE(first + into.size() / 512, count_);
    for (size_t i = 0; i < into.size() / 512; ++i) {
      auto found = blocks_.find(first + i);
      const std::string block = found == blocks_.end() ? std::string(512, '\0') : found->second;
      std::ranges::copy(as_bytes(block), into.begin() + static_cast<std::ptrdiff_t>(i * 512));
    }
    return {};
  }
  Result<> write(uint64_t first, ByteView from) override {
    for (size_t i = 0; i < from.size() / 512; ++i) blocks_[first + i] = std::string(as_text(from.subspan(i * 512, 512)));
    return {};
  }
  Result<> flush() override { return {}; }

 private:
  std::map<uint64_t, std::string>& blocks_;
  uint64_t count_;
};

struct FakeDisk {
  uint64_t mib = 0;
  std::map<uint64_t, std::string> blocks;
  std::map<uint32_t, std::pair<uint64_t, uint64_t>> known;  // the kernel's partitions: offset and length in bytes
  SparseDisk open() { return {blocks, mib * kMib}; }
};

// A machine whose mke2fs writes a superblock, whose e2fsck says what it is told to, and whose kernel mounts what has one.
class FakeMachine final : public Hardware {
 public:
  Result<std::vector<device::Disk>> disks() override {
    std::vector<device::Disk> out;
    for (auto& [path, disk] : all) {
      if (hidden > 0) continue;
      device::Disk one{.name = path.substr(5), .path = path, .bytes = disk.mib << 20, .serial = "S-" + path.substr(5)};
      for (const auto& [number, at] : disk.known) one.partitions.push_back({path + std::to_string(number), number, at.first, at.second});
      out.push_back(std::move(one));
    }
    return out;
  }
  std::string booted_partition() override { return booted; }
  bool disks_may_come() override { return hidden > 0; }
  Result<std::unique_ptr<BlockWriter>> open(const std::string& path, Access) override {
    if (!all.contains(path)) return Error(Code::kNotFound, path);
    return std::make_unique<SparseDisk>(all[path].open());
  }
  Result<> add_partition(const std::string& disk, uint32_t number, Bytes offset, Bytes length) override {
    if (all[disk].known.contains(number)) return {Code::kExists, "there"};
    all[disk].known[number] = {offset.count, length.count};
    return {};
  }
  Result<> grow_partition(const std::string& disk, uint32_t number, Bytes offset, Bytes length) override {
    EXPECT_EQ(all[disk].known.at(number).first, offset.count);
    all[disk].known[number].second = length.count;
    return {};
  }
  Result<> forget_partition(const std::string& disk, uint32_t number) override {
    if (busy) return {Code::kUnavailable, "in use"};
    all[disk].known.erase(number);
    return {};
  }
  Result<ProgramEnd> run(const std::string& program, const std::vector<std::string>& arguments, Duration) override {
    const std::string& device = arguments.back();
    did.push_back(program.substr(program.rfind('/') + 1) + " " + device);
    if (program == kChecker) return check;
    if (format_fails) return ProgramEnd{1, 0, "mke2fs: no\n"};
    auto [disk, at] = place(device);
    std::string super(1024, '\0');
    super[56] = '\x53', super[57] = '\xef';
    store_le<uint32_t>(super.data() + 4, static_cast<uint32_t>(at.second / 4096));
    store_le<uint32_t>(super.data() + 24, 2);
    SparseDisk blocks = disk->open();
    EXPECT_TRUE(blocks.write(at.first / 512 + 2, as_bytes(super)).ok());
    return ProgramEnd{};
  }
  Result<> mount(const kernel::MountRequest& request) override {
    did.push_back("mount " + request.source + " " + request.target);
    flags[request.target] = request.flags;
    EXPECT_TRUE(place(request.source).first != nullptr) << request.source;
    return {};
  }
  Result<> grow(const std::string& target, Bytes size) override {
    did.push_back("grow " + target + " " + std::to_string(size.count >> 20));
    return {};
  }
  MonoTime now() override { return time; }
  void rest(Duration pause) override {
    time = time + pause;
    if (hidden > 0) --hidden;
  }
  Rng& rng() override { return chance; }

  std::pair<FakeDisk*, std::pair<uint64_t, uint64_t>> place(const std::string& device) {
    for (auto& [path, disk] : all) {
      for (const auto& [number, at] : disk.known)
        if (device == path + std::to_string(number)) return {&disk, at};
    }
    ADD_FAILURE() << "the kernel knows no " << device;
    return {nullptr, {}};
  }

  std::map<std::string, FakeDisk> all;
  std::string booted;
  int hidden = 0;  // rests until the disks come
  bool busy = false, format_fails = false;
  ProgramEnd check;
  std::vector<std::string> did;
  std::map<std::string, unsigned long> flags;
  MonoTime time{};
  SeededRng chance{1};
};

constexpr Guid kEspId = {std::byte{0x11}};

// What the image builder writes: an ESP up to the end of an image of `image_mib`, on a disk of `mib`.
FakeDisk builder_disk(uint64_t image_mib, uint64_t mib) {
  FakeDisk disk{.mib = image_mib};
  SparseDisk blocks = disk.open();
  EXPECT_TRUE(new_gpt(blocks, Guid{std::byte{1}}).ok());
  Partition esp{.number = 1, .type = *machine::parse_guid(machine::kTypeEsp), .unique = kEspId, .first = kMib, .last = (image_mib - 1) * kMib - 1, .label = std::string(machine::kLabelEsp)};
  Result<machine::Gpt> made = change_gpt(blocks, {.add = {esp}});
  EXPECT_TRUE(made.ok()) << made.error().message();
  disk.known[1] = {1 << 20, (image_mib - 2) << 20};
  disk.mib = mib;
  return disk;
}

struct Told {
  std::vector<std::string> said, wrong;
};

Outcome start(FakeMachine& machine, Told& told, const machine::Disks& wanted = {}) {
  machine.did.clear();
  told = {};
  const Speech speech{[&](std::string_view text) { told.said.emplace_back(text); }, [&](std::string_view text) { told.wrong.emplace_back(text); }};
  return set_up(machine, [&] { return wanted; }, speech);
}

machine::Gpt table_of(FakeDisk& disk) {
  SparseDisk blocks = disk.open();
  Result<machine::Gpt> gpt = read_gpt(blocks);
  EXPECT_TRUE(gpt.ok()) << gpt.error().message();
  return gpt.ok() ? *gpt : machine::Gpt();
}

const std::vector<std::string> kFirst = {"mount /dev/vda1 /efi", "mke2fs /dev/vda2", "mount /dev/vda2 /state", "mke2fs /dev/vda3", "mount /dev/vda3 /data"};
const std::vector<std::string> kSecond = {"mount /dev/vda1 /efi", "e2fsck /dev/vda2", "mount /dev/vda2 /state", "e2fsck /dev/vda3", "mount /dev/vda3 /data"};

TEST(Storage, TheFirstStartMakesAndTheSecondFinds) {
  FakeMachine machine;
  Told told;
  machine.all["/dev/vda"] = builder_disk(300, 4000);
  machine.booted = lower(machine::guid_text(kEspId));  // as firmware may have it
  Outcome outcome = start(machine, told);
  EXPECT_EQ(machine.did, kFirst);
  EXPECT_EQ(told.wrong, std::vector<std::string>());
  EXPECT_EQ(outcome.state.done, "created");
  EXPECT_EQ(machine.flags["/state"] & 0xf, 0xeUL) << "nosuid, nodev, noexec";
  EXPECT_EQ(machine.flags["/data"] & 0xf, 0x6UL) << "tasks are executed from there";
  EXPECT_EQ(machine.flags["/efi"] & 0x8e, 0x8eUL) << "and dirsync";
  machine::Gpt gpt = table_of(machine.all["/dev/vda"]);
  ASSERT_EQ(gpt.partitions.size(), 3U);
  EXPECT_TRUE(gpt.primary_good && gpt.backup_good);
  for (const Partition& partition : gpt.partitions) EXPECT_EQ(partition.attributes & machine::kUnfinished, 0U) << partition.label;
  EXPECT_EQ((gpt.partitions[1].last - gpt.partitions[1].first + 1) / kMib, machine::kStateMib);
  EXPECT_EQ(describe(outcome), "steppe-storage 1\nesp /dev/vda1 not checked\nconfig - there is none\nstate /dev/vda2 created\ndata /dev/vda3 created\n");

  outcome = start(machine, told);
  EXPECT_EQ(machine.did, kSecond);
  EXPECT_EQ(outcome.data.done, "checked");
  EXPECT_EQ(table_of(machine.all["/dev/vda"]).partitions[1].unique, gpt.partitions[1].unique);
}

TEST(Storage, ALargerDiskGrowsData) {
  FakeMachine machine;
  Told told;
  machine.all["/dev/vda"] = builder_disk(300, 4000);
  machine.booted = machine::guid_text(kEspId);
  start(machine, told);
  machine.all["/dev/vda"].mib = 9000;
  start(machine, told);
  EXPECT_EQ(machine.did.back(), "grow /data 7676");
  EXPECT_EQ(machine.all["/dev/vda"].known[3].second >> 20, 7676U);
  // Cut off before the file system grew: the next start sees to it.
  start(machine, told);
  EXPECT_EQ(machine.did.back(), "grow /data 7676");
}

TEST(Storage, AStartThatWasCutOffWhileFormattingIsDoneAgain) {
  FakeMachine machine;
  Told told;
  machine.all["/dev/vda"] = builder_disk(300, 4000);
  machine.booted = machine::guid_text(kEspId);
  machine.format_fails = true;
  Outcome outcome = start(machine, told);
  EXPECT_EQ(outcome.state.device, "");
  EXPECT_EQ(outcome.state.why, "format STEPPE-STATE on /dev/vda: mke2fs ended with 1: mke2fs: no");
  // What a half-made file system leaves looks like one.
  auto [disk, at] = machine.place("/dev/vda2");
  std::string half(4096, 'x');
  SparseDisk blocks = disk->open();
  ASSERT_TRUE(blocks.write(at.first / 512, as_bytes(half)).ok());
  machine.format_fails = false;
  EXPECT_EQ(start(machine, told).state.done, "created");
  EXPECT_EQ(machine.did, kFirst);
}

TEST(Storage, WhatCannotBeRepairedIsLeftAlone) {
  FakeMachine machine;
  Told told;
  machine.all["/dev/vda"] = builder_disk(300, 4000);
  machine.booted = machine::guid_text(kEspId);
  start(machine, told);
  machine.check = {4, 0, "UNEXPECTED INCONSISTENCY; RUN fsck MANUALLY.\n\t(i.e., without -a or -p options)\n"};
  Outcome outcome = start(machine, told);
  EXPECT_EQ(machine.did, (std::vector<std::string>{"mount /dev/vda1 /efi", "e2fsck /dev/vda2", "e2fsck /dev/vda3"}));
  EXPECT_EQ(outcome.state.why, "STEPPE-STATE on /dev/vda2 is damaged and is not used: e2fsck ended with 4: UNEXPECTED INCONSISTENCY; RUN fsck MANUALLY.");
  EXPECT_EQ(told.said.back(), "/data is in memory: " + outcome.data.why);
  machine.check = {1, 0, "/dev/vda2: recovering journal\n"};
  EXPECT_EQ(start(machine, told).state.done, "repaired");
  // Something else where the file system was: neither formatted nor mounted.
  machine.check = {};
  auto [disk, at] = machine.place("/dev/vda2");
  std::string other(128 << 10, 'x');
  SparseDisk blocks = disk->open();
  ASSERT_TRUE(blocks.write(at.first / 512, as_bytes(other)).ok());
  outcome = start(machine, told);
  EXPECT_NE(outcome.state.why.find("holds unknown data, expected ext4"), std::string::npos) << outcome.state.why;
  EXPECT_EQ(outcome.data.done, "checked");
  EXPECT_EQ(std::ranges::count(machine.did, "mke2fs /dev/vda2"), 0);
}

TEST(Storage, ADamagedFirstTableIsRepairedFromTheSecond) {
  FakeMachine machine;
  Told told;
  machine.all["/dev/vda"] = builder_disk(300, 4000);
  machine.booted = machine::guid_text(kEspId);
  start(machine, told);
  machine.all["/dev/vda"].blocks[1] = std::string(512, '\0');
  machine.all["/dev/vda"].known.clear();  // the kernel looks at the first one only
  EXPECT_EQ(start(machine, told).state.done, "checked");
  EXPECT_EQ(machine.did, kSecond);
  EXPECT_TRUE(table_of(machine.all["/dev/vda"]).primary_good);
}

TEST(Storage, AForeignDiskIsNotTouched) {
  FakeMachine machine;
  Told told;
  FakeDisk foreign{.mib = 4000};
  foreign.blocks[0] = std::string(510, '\0') + "\x55\xaa";
  machine.all["/dev/sda"] = foreign;
  Outcome outcome = start(machine, told);
  EXPECT_EQ(machine.did, std::vector<std::string>());
  EXPECT_EQ(outcome.state.why, "no disk of this machine has it");
  outcome = start(machine, told, {.system = machine::DiskChoice{.serial = "S-sda"}});
  EXPECT_EQ(outcome.state.why, "/dev/sda: it holds dos");
  EXPECT_EQ(machine.all["/dev/sda"].blocks, foreign.blocks);
  machine.all["/dev/sda"].known[1] = {1 << 20, 1 << 20};
  machine.busy = true;
  outcome = start(machine, told, {.system = machine::DiskChoice{.serial = "S-sda", .wipe = true}});
  EXPECT_EQ(machine.all["/dev/sda"].blocks, foreign.blocks) << "somebody uses a partition of it";
  machine.busy = false;
  EXPECT_EQ(start(machine, told, {.system = machine::DiskChoice{.serial = "S-sda", .wipe = true}}).state.done, "created");
}

TEST(Storage, WaitsForTheDiskItWasBootedFrom) {
  FakeMachine machine;
  Told told;
  machine.all["/dev/vda"] = builder_disk(300, 4000);
  machine.booted = machine::guid_text(kEspId);
  machine.hidden = 30;
  EXPECT_EQ(start(machine, told).state.done, "created");
  EXPECT_EQ(machine.hidden, 0);
  machine.all.clear();
  const MonoTime before = machine.now();
  EXPECT_EQ(start(machine, told).state.device, "");
  EXPECT_GE(machine.now() - before, kBootDiskLimit);
  EXPECT_NE(told.wrong[0].find("has not come"), std::string::npos) << told.wrong[0];
  machine.booted = "";
  const MonoTime again = machine.now();
  start(machine, told);
  EXPECT_EQ(machine.now().ns, again.ns) << "nothing to wait for";
}

TEST(Storage, WithoutVariablesTheOneInstalledDiskIsMeant) {
  FakeMachine machine;
  Told told;
  machine.all["/dev/vda"] = builder_disk(300, 4000);
  machine.all["/dev/vdb"] = FakeDisk{.mib = 100};
  EXPECT_EQ(start(machine, told).state.done, "created");
  EXPECT_EQ(machine.did, kFirst);
  EXPECT_TRUE(machine.all["/dev/vdb"].blocks.empty());
}

TEST(Storage, AConfigurationPartitionIsMountedWhereverItIs) {
  FakeMachine machine;
  Told told;
  machine.all["/dev/vda"] = builder_disk(300, 4000);
  machine.booted = machine::guid_text(kEspId);
  FakeDisk& stick = machine.all["/dev/sda"] = FakeDisk{.mib = 64};
  SparseDisk blocks = stick.open();
  ASSERT_TRUE(new_gpt(blocks, Guid{std::byte{2}}).ok());
  ASSERT_TRUE(change_gpt(blocks, {.add = {{.number = 1, .type = *machine::parse_guid(machine::kTypeConfig), .first = kMib, .last = 9 * kMib - 1, .label = "x"}}}).ok());
  stick.known[1] = {1 << 20, 8 << 20};
  Outcome outcome = start(machine, told);
  EXPECT_EQ(outcome.config.why, "/dev/sda1 holds nothing, expected vfat or ext4");
  EXPECT_EQ(outcome.state.done, "created") << "and goes on";
  std::string boot_sector(512, '\0');
  boot_sector.replace(82, 8, "FAT32   ");
  stick.blocks[kMib] = boot_sector;
  outcome = start(machine, told);
  EXPECT_EQ(outcome.config.device, "/dev/sda1");
  EXPECT_EQ(machine.did[1], "mount /dev/sda1 /run/steppe/config");
  EXPECT_EQ(machine.flags["/run/steppe/config"] & 0xf, 0xfUL) << "nosuid, nodev, noexec, and read-only";
  machine.all["/dev/sdb"] = stick;
  EXPECT_EQ(start(machine, told).config.why, "there are several: /dev/sda1 and /dev/sdb1");
}

TEST(Content, NamesWhatItFinds) {
  FakeDisk disk{.mib = 200};
  SparseDisk blocks = disk.open();
  EXPECT_EQ(*content_of(blocks), "");
  EXPECT_FALSE(ext4_size(blocks).ok());
  std::string spare(512, '\0');
  spare[56] = '\x53', spare[57] = '\xef';
  disk.blocks[32768 * 8] = spare;
  EXPECT_EQ(*content_of(blocks), "ext4") << "its first superblock is gone";
  disk.blocks[0] = "XFSB" + std::string(508, '\0');
  EXPECT_EQ(*content_of(blocks), "xfs");
  disk.blocks[0] = std::string(511, '\0') + "x";
  EXPECT_EQ(*content_of(blocks), "ext4");
  disk.blocks.erase(32768 * 8);
  EXPECT_EQ(*content_of(blocks), "unknown data");
  std::string super(512, '\0');
  super[56] = '\x53', super[57] = '\xef';
  store_le<uint32_t>(super.data() + 4, 1000);
  store_le<uint32_t>(super.data() + 24, 2);
  disk.blocks[2] = super;
  EXPECT_EQ(*content_of(blocks), "ext4");
  EXPECT_EQ(ext4_size(blocks)->count, 4096000U);
  super[24] = 9;
  disk.blocks[2] = super;
  EXPECT_EQ(ext4_size(blocks).error().code(), Code::kCorrupt);
}

}  // namespace
}  // namespace steppe::storage
