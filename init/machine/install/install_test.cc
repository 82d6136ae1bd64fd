#include "init/machine/install/install.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <format>
#include <fstream>
#include <functional>
#include <map>

#include "init/machine/gpt_write.h"
#include "init/machine/install/reset.h"
#include "init/machine/layout.h"
#include "init/machine/storage/disk_facts.h"
#include "init/sys/fat/mounted_directory.h"

namespace steppe::install {
namespace {

using machine::BlockWriter;
using machine::DiskFacts;
using machine::Gpt;
using machine::Guid;
using machine::kUnfinished;
using machine::Partition;

constexpr uint64_t kMib = 2048;  // blocks
const Guid kEsp = *machine::parse_guid(machine::kTypeEsp), kState = *machine::parse_guid(machine::kTypeState), kData = *machine::parse_guid(machine::kTypeData);

// A disk of which only the blocks that were written are kept.
class SparseDisk final : public BlockWriter {
 public:
  SparseDisk(std::map<uint64_t, std::string>& blocks, uint64_t count) : blocks_(blocks), count_(count) {}
  uint32_t block_bytes() const override { return 512; }
  uint64_t blocks() const override { return count_; }
  Result<> read(uint64_t first, ByteSpan into) override {
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
  bool read_only = false;
  std::vector<uint32_t> known = {};
  std::map<uint64_t, std::string> blocks = {};
  SparseDisk open() { return {blocks, mib * kMib}; }
  Gpt table() {
    SparseDisk disk = open();
    Result<Gpt> gpt = read_gpt(disk);
    EXPECT_TRUE(gpt.ok());
    return gpt.ok() ? *gpt : Gpt();
  }
};

// A machine whose FAT is a directory of this one. After `cut_after` changes the power is gone.
class FakeMachine final : public storage::Hardware, public Files {
 public:
  FakeMachine() {
    std::string name = testing::TempDir() + "steppe-install-XXXXXX";
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    tree = name;
  }
  ~FakeMachine() override { std::filesystem::remove_all(tree); }

  Result<std::vector<device::Disk>> disks() override {
    std::vector<device::Disk> out;
    for (auto& [path, disk] : all) {
      device::Disk one{.name = path.substr(5), .path = path, .bytes = disk.mib << 20, .read_only = disk.read_only, .serial = "", .links = {"/dev/disk/by-id/" + path.substr(5)}, .partitions = {}};
      for (const uint32_t number : disk.known) one.partitions.push_back({path + std::to_string(number), number, 0, 0});
      out.push_back(std::move(one));
    }
    return out;
  }
  std::string booted_partition() override { return booted; }
  bool disks_may_come() override { return false; }
  Result<std::unique_ptr<BlockWriter>> open(const std::string& path, Access access) override {
    if (access == Access::kWrite) STEPPE_TRY_VOID(change("write to " + path));
    return std::make_unique<SparseDisk>(all.at(path).open());
  }
  Result<> add_partition(const std::string& disk, uint32_t number, Bytes, Bytes) override { return all.at(disk).known.push_back(number), Result<>(); }
  Result<> grow_partition(const std::string&, uint32_t, Bytes, Bytes) override { return {Code::kUnsupported, "grow"}; }
  Result<> forget_partition(const std::string& disk, uint32_t number) override {
    if (busy) return {Code::kUnavailable, "in use"};
    std::erase(all.at(disk).known, number);
    return {};
  }
  Result<storage::ProgramEnd> run(const std::string& program, const std::vector<std::string>& arguments, Duration) override {
    STEPPE_TRY_VOID(change(program));
    formatted = arguments;
    for (const auto& entry : std::filesystem::directory_iterator(tree)) std::filesystem::remove_all(entry);
    return storage::ProgramEnd{format_code, 0, "no"};
  }
  Result<> mount(const kernel::MountRequest& request) override { return request.target == kMountedAt ? change("mount") : Result<>(Code::kInvalid, request.target); }
  Result<> grow(const std::string&, Bytes) override { return {Code::kUnsupported, "grow"}; }
  MonoTime now() override { return {}; }
  void rest(Duration) override {}
  Rng& rng() override { return chance; }

  Result<std::vector<kernel::MountEntry>> mounts() override { return mounted; }
  Result<> unmount(const std::string&) override { return ++unmounted, change("unmount"); }
  Result<> make_directory(const std::string& path) override {
    STEPPE_TRY_VOID(change("make " + path));
    std::filesystem::create_directories(real(path));
    return {};
  }
  Result<std::unique_ptr<upgrade::SlotDirectory>> directory(const std::string& path) override {
    STEPPE_TRY_VOID(change("change " + path));
    STEPPE_TRY(fat::MountedDirectory opened, fat::MountedDirectory::open(real(path), {}));
    return std::unique_ptr<upgrade::SlotDirectory>(std::make_unique<fat::MountedDirectory>(std::move(opened)));
  }

  std::string real(const std::string& path) const { return tree + path.substr(std::string_view(kMountedAt).size()); }
  bool has(const std::string& path) const { return std::filesystem::exists(tree + "/" + path); }
  std::string text(const std::string& path) const {
    std::ifstream file(tree + "/" + path);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  std::map<std::string, FakeDisk> all;
  std::string booted, tree;
  std::vector<kernel::MountEntry> mounted;
  std::vector<std::string> formatted, did;
  bool busy = false;
  int format_code = 0, unmounted = 0;
  size_t cut_after = SIZE_MAX;

 private:
  Result<> change(const std::string& what) {
    if (did.size() >= cut_after) return {Code::kIo, "cut"};
    did.push_back(what);
    return {};
  }
  SeededRng chance{7};
};

class Memory final : public upgrade::ImageSource {
 public:
  explicit Memory(std::string text) : text(std::move(text)) {}
  Result<size_t> read(uint64_t offset, ByteSpan into) override {
    const std::string_view rest = std::string_view(text).substr(std::min<uint64_t>(offset, text.size())).substr(0, into.size());
    std::ranges::copy(as_bytes(rest), into.begin());
    return rest.size();
  }
  File file() { return {text.size(), upgrade::sha256(as_bytes(text)), this}; }
  std::string text;
};

class Judge final : public upgrade::ImageJudge {
 public:
  Result<upgrade::Judged> judge(upgrade::SlotDirectory&, const std::string& name, uint64_t) override {
    judged.push_back(name);
    if (!fit) return Error(Code::kDenied, "not signed");
    return upgrade::Judged{};
  }
  bool fit = true;
  std::vector<std::string> judged;
};

struct Scene {
  FakeMachine machine;
  Judge judge;
  Memory image{std::string(700'000, 'i')}, loader{"the loader"};
  Request request{.disk = "/dev/vdb", .version = "1.2", .image = image.file(), .loader = loader.file(), .loader_name = "BOOTX64.EFI", .loader_settings = "timeout 0\n", .configuration = "version = 1\n"};
  std::vector<std::string> said;

  Scene() { machine.all["/dev/vdb"] = {.mib = 3000}; }
  Result<> run() {
    return install(machine, machine, judge, request, [&](std::string_view line) { said.emplace_back(line); });
  }
  FakeDisk& disk() { return machine.all["/dev/vdb"]; }
};

TEST(Install, AnEmptyDiskBecomesAMachine) {
  Scene scene;
  Result<> done = scene.run();
  ASSERT_TRUE(done.ok()) << done.error().message();
  const Gpt gpt = scene.disk().table();
  ASSERT_EQ(gpt.partitions.size(), 3U);
  EXPECT_TRUE(gpt.partitions[0].type == kEsp && gpt.partitions[1].type == kState && gpt.partitions[2].type == kData);
  EXPECT_EQ(gpt.partitions[0].attributes, 0U);
  EXPECT_EQ(gpt.partitions[1].attributes, kUnfinished) << "the first start formats it";
  EXPECT_EQ(gpt.partitions[2].attributes, kUnfinished);
  EXPECT_EQ(gpt.partitions[0].label, machine::kLabelEsp);
  EXPECT_EQ((gpt.partitions[0].last - gpt.partitions[0].first + 1) / kMib, machine::kMinEspMib);
  EXPECT_NE(gpt.partitions[0].unique, gpt.partitions[1].unique);
  EXPECT_EQ(scene.machine.text("EFI/Linux/steppe-1.2.efi"), scene.image.text);
  EXPECT_EQ(scene.machine.text("EFI/BOOT/BOOTX64.EFI"), "the loader");
  EXPECT_EQ(scene.machine.text("loader/loader.conf"), "timeout 0\n");
  EXPECT_EQ(scene.machine.text("steppe.hcl"), "version = 1\n");
  EXPECT_EQ(scene.judge.judged, std::vector<std::string>{"steppe-1.2.efi.part"}) << "before it had its name";
  EXPECT_EQ(scene.machine.unmounted, 1);
  EXPECT_EQ(scene.machine.formatted.back(), "/dev/vdb1");
  EXPECT_EQ(scene.said.size(), order().size());
}

TEST(Install, TheSameDiskByALink) {
  Scene scene;
  scene.request.disk = "/dev/disk/by-id/vdb";
  EXPECT_TRUE(scene.run().ok());
}

// The order as a machine of firmware sees it, step by step: `""` when it is safe, else what would be wrong at a cut.
std::string danger(const std::vector<Step>& steps) {
  bool image = false, loader_bytes = false, settings = false, whole = false, named = false;
  for (const Step step : steps) {
    if (step == Step::kImage) image = true;
    if (step == Step::kLoader) loader_bytes = true;
    if (step == Step::kSettings) settings = true;
    if (step == Step::kTableWhole) whole = true;
    if (step == Step::kTableWhole && !(image && loader_bytes && settings)) return "a table that looks whole, without what belongs to it";
    if (step == Step::kNameImage) {
      if (!image) return "a name for an image that is not there";
      named = true;
    }
    if (step == Step::kNameLoader && !(loader_bytes && settings && whole && named)) return "a machine that firmware starts, and that is not whole";
    if (step == Step::kFormat && image) return "a format over the image";
  }
  return "";
}

// Planted: each two steps that stand beside each other are exchanged, and each is left out. The rules find all that matter.
TEST(Install, NoOrderIsSafeButThisOne) {
  EXPECT_EQ(danger(order()), "");
  EXPECT_EQ(order().back(), Step::kUnmount);
  EXPECT_EQ(order()[order().size() - 2], Step::kNameLoader);
  size_t found = 0;
  for (size_t i = 0; i + 1 < order().size(); ++i) {
    std::vector<Step> swapped = order();
    std::swap(swapped[i], swapped[i + 1]);
    found += danger(swapped).empty() ? 0 : 1;
  }
  EXPECT_EQ(found, 2U) << "loader and whole table; names of image and loader: all others commute or fail at once";
  for (const Step missing : {Step::kImage, Step::kLoader, Step::kSettings, Step::kTableWhole, Step::kNameImage}) {
    std::vector<Step> less = order();
    std::erase(less, missing);
    EXPECT_NE(danger(less), "") << step_name(missing);
  }
}

// The power goes after each single change; an older installation was on the disk.
TEST(Install, ACutAtAnyMomentLeavesNoMachineOrAWholeOne) {
  size_t changes = 0;
  {
    Scene scene;
    ASSERT_TRUE(scene.run().ok());
    changes = scene.machine.did.size();
  }
  ASSERT_GT(changes, 10U);
  for (size_t cut = 0; cut < changes; ++cut) {
    Scene scene;
    scene.machine.cut_after = cut;
    Result<> done = scene.run();
    ASSERT_FALSE(done.ok()) << cut;
    const bool loader = scene.machine.has("EFI/BOOT/BOOTX64.EFI");
    if (loader) {
      EXPECT_EQ(scene.machine.text("EFI/Linux/steppe-1.2.efi"), scene.image.text);
      EXPECT_EQ(scene.disk().table().partitions.size(), 3U);
    }
    // Once more, without being told to wipe: what was cut off holds nothing, but for the moments when the table is whole.
    scene.machine.cut_after = SIZE_MAX;
    const bool whole = !scene.disk().blocks.empty() && scene.disk().table().partitions.size() == 3;
    scene.request.wipe = whole;
    done = scene.run();
    EXPECT_TRUE(done.ok()) << cut << ": " << done.error().message();
    EXPECT_EQ(scene.machine.text("EFI/BOOT/BOOTX64.EFI"), "the loader");
  }
}

TEST(Install, WhatIsLeftOfAnOldInstallationIsNotStarted) {
  Scene scene;
  for (uint64_t block = kMib; block < 9 * kMib; block += 64) scene.disk().blocks[block] = std::string(512, 'o');
  scene.request.wipe = true;
  scene.machine.cut_after = 1;  // the table is written, nothing else
  ASSERT_FALSE(scene.run().ok());
  ASSERT_EQ(scene.disk().table().partitions.size(), 1U);
  EXPECT_TRUE(std::ranges::all_of(scene.disk().blocks, [](const auto& one) { return one.first < kMib || one.first >= 9 * kMib || one.second == std::string(512, '\0'); }));
}

TEST(Install, AnImageThatDoesNotReadBackOrIsNotFitGetsNoName) {
  for (const bool fit : {false, true}) {
    Scene scene;
    scene.judge.fit = fit;
    if (fit) scene.request.image.digest[0] ^= std::byte{1};
    Result<> done = scene.run();
    ASSERT_FALSE(done.ok());
    EXPECT_NE(done.error().message().find(fit ? "read back after writing" : "not signed"), std::string::npos) << done.error().message();
    EXPECT_FALSE(scene.machine.has("EFI/Linux/steppe-1.2.efi") || scene.machine.has("EFI/Linux/steppe-1.2.efi.part") || scene.machine.has("EFI/BOOT/BOOTX64.EFI"));
    EXPECT_EQ(scene.machine.unmounted, 1);
  }
}

void make_table(FakeDisk& disk, std::vector<Partition> partitions) {
  SparseDisk blocks = disk.open();
  ASSERT_TRUE(new_gpt(blocks, Guid{std::byte{9}}).ok());
  uint32_t number = 0;
  for (Partition& partition : partitions) {
    partition.number = ++number;
    partition.first = number * 100 * kMib, partition.last = partition.first + 99 * kMib;
    if (partition.unique == Guid{}) partition.unique[3] = std::byte(number);
    disk.known.push_back(number);
  }
  ASSERT_TRUE(change_gpt(blocks, {.add = partitions}).ok());
}

struct Refusal {
  const char* name;
  std::function<void(Scene&)> make;
  Code code;
  const char* says;
  bool with_wipe;  // refused even so
};

TEST(Install, Refusals) {
  const Refusal kRefusals[] = {
      {"no such disk", [](Scene& s) { s.request.disk = "/dev/vdc"; }, Code::kNotFound, "it has /dev/vdb of 3000 MiB", true},
      {"a partition", [](Scene& s) { make_table(s.disk(), {{.type = kEsp}}), s.request.disk = "/dev/vdb1"; }, Code::kInvalid, "is a partition", true},
      {"read-only", [](Scene& s) { s.disk().read_only = true; }, Code::kDenied, "is read-only", true},
      {"mounted", [](Scene& s) { make_table(s.disk(), {{.type = kData}}), s.machine.mounted = {{.target = "/data", .source = "/dev/vdb1"}}; }, Code::kUnavailable, "/dev/vdb1 is mounted on /data", true},
      {"mounted as a whole", [](Scene& s) { s.machine.mounted = {{.target = "/mnt", .source = "/dev/vdb"}}; }, Code::kUnavailable, "is mounted on /mnt", true},
      {"held by something else", [](Scene& s) { make_table(s.disk(), {{.type = kState, .attributes = kUnfinished}}), s.machine.busy = true; }, Code::kUnavailable, "in use", true},
      {"started from", [](Scene& s) { make_table(s.disk(), {{.type = kEsp}}), s.machine.booted = machine::guid_text(s.disk().table().partitions[0].unique); },
       Code::kUnavailable, "was started from", true},
      {"too small", [](Scene& s) { s.disk().mib = 1100; }, Code::kExhausted, "has 1100 MiB, an installation takes 1154 MiB", true},
      {"another system's table", [](Scene& s) { make_table(s.disk(), {{.type = Guid{std::byte{7}}}}); }, Code::kExists, "1 partition, not all of them Steppe's: say -wipe", false},
      {"an installation", [](Scene& s) { make_table(s.disk(), {{.type = kEsp, .label = "STEPPE-ESP"}, {.type = kState}}); }, Code::kExists, "an installation of Steppe", false},
      {"a cut-off one that was used", [](Scene& s) { make_table(s.disk(), {{.type = kEsp, .attributes = kUnfinished, .label = "STEPPE-ESP"}, {.type = kState}}); }, Code::kExists, "an installation of Steppe", false},
      {"a file system", [](Scene& s) { s.disk().blocks[0] = "XFSB" + std::string(508, '\0'); }, Code::kExists, "holds xfs", false},
      {"something", [](Scene& s) { s.disk().blocks[3] = std::string(512, 'x'); }, Code::kExists, "holds unknown data", false},
      {"a damaged table", [](Scene& s) { s.disk().blocks[1] = "EFI PART" + std::string(504, 'x'); }, Code::kExists, "table that is damaged", false},
  };
  for (const Refusal& refusal : kRefusals) {
    for (const bool wipe : {false, true}) {
      Scene scene;
      refusal.make(scene);
      const auto before = scene.disk().blocks;
      scene.request.wipe = wipe;
      Result<> done = scene.run();
      if (wipe && !refusal.with_wipe) {
        EXPECT_TRUE(done.ok()) << refusal.name << ": " << done.error().message();
        continue;
      }
      ASSERT_FALSE(done.ok()) << refusal.name;
      EXPECT_EQ(done.error().code(), refusal.code) << refusal.name << ": " << done.error().message();
      EXPECT_NE(done.error().message().find(refusal.says), std::string::npos) << refusal.name << ": " << done.error().message();
      EXPECT_EQ(scene.disk().blocks, before) << refusal.name << ": nothing was written";
    }
  }
}

TEST(Install, TheLayoutFollowsTheDisk) {
  const auto sizes = [](uint64_t mib, uint32_t block, uint64_t image_mib) {
    std::vector<uint64_t> out;
    Result<std::vector<Partition>> made = lay_out({.device = "/dev/vdb", .bytes = mib << 20, .block_bytes = block}, image_mib << 20);
    if (!made.ok()) return out;
    for (const Partition& one : *made) {
      EXPECT_EQ(one.first * block % (1 << 20), 0U);
      out.push_back((one.last - one.first + 1) * block >> 20);
    }
    EXPECT_LT(made->back().last, (mib << 20) / block - 40);
    return out;
  };
  using Sizes = std::vector<uint64_t>;
  EXPECT_EQ(sizes(1153, 512, 34), Sizes());
  EXPECT_EQ(sizes(1154, 512, 34), (Sizes{512, 128, 512}));
  EXPECT_EQ(sizes(3000, 4096, 34), (Sizes{512, 1024, 1462}));
  EXPECT_EQ(sizes(100'000, 512, 34), (Sizes{1024, 1024, 97950}));
  EXPECT_EQ(sizes(100'000, 512, 400), (Sizes{1219, 1024, 97755})) << "three images";
}

// A disk where an installation was cut off is no disk of the machine's: nothing is laid out on it.
TEST(Install, ACutOffOneIsNobodysSystem) {
  for (const bool finished : {false, true}) {
    DiskFacts disk{.device = "/dev/vdb", .bytes = uint64_t{3000} << 20, .filesystems = {""}};
    disk.gpt = Gpt{.first_usable = kMib, .last_usable = 2999 * kMib - 1, .partitions = {{.number = 1, .type = kEsp, .first = kMib, .last = 513 * kMib - 1, .attributes = finished ? 0 : kUnfinished, .label = "STEPPE-ESP"}}};
    EXPECT_EQ(machine::plan_disks({disk}, {}).empty(), !finished);
  }
}

DiskFacts disk_with(const std::string& device, std::vector<Partition> partitions, bool booted = false) {
  DiskFacts disk{.device = device, .booted = booted};
  uint32_t number = 0;
  for (Partition& partition : partitions) partition.number = ++number;
  disk.gpt = Gpt{.partitions = std::move(partitions)};
  return disk;
}

std::string marks_of(const std::vector<DiskFacts>& disks, const std::vector<kernel::MountEntry>& mounts, Keep keep = Keep::kNothing) {
  Result<std::vector<Marked>> marks = choose_marks(disks, mounts, keep);
  if (!marks.ok()) return std::string(code_name(marks.error().code())) + ": " + marks.error().message();
  std::string out;
  for (const Marked& one : *marks) out += std::format("{} {} {}, ", one.disk, one.number, one.bits >> 48);
  return out;
}

TEST(Reset, WhichPartitions) {
  const std::vector<Partition> ours = {{.type = kEsp}, {.type = kState}, {.type = kData}};
  const DiskFacts vda = disk_with("/dev/vda", ours), nvme = disk_with("/dev/nvme0n1", ours), booted = disk_with("/dev/vdc", ours, true);
  const kernel::MountEntry state{.target = "/state", .source = "/dev/vda2"}, data{.target = "/data", .source = "/dev/nvme0n1p3"};
  EXPECT_EQ(marks_of({vda}, {state}), "/dev/vda 3 1, /dev/vda 2 1, ");
  EXPECT_EQ(marks_of({vda, nvme}, {state, data}), "/dev/nvme0n1 3 1, /dev/vda 2 1, ") << "the mounted ones";
  EXPECT_EQ(marks_of({vda, booted}, {}), "/dev/vdc 3 1, /dev/vdc 2 1, ") << "damaged, so not mounted: where it was booted from";
  EXPECT_EQ(marks_of({vda}, {state}, Keep::kConfiguration), "/dev/vda 3 1, /dev/vda 2 2, ");
  EXPECT_EQ(marks_of({disk_with("/dev/vda", {{.type = kData}})}, {}), "/dev/vda 1 1, ");
  EXPECT_TRUE(marks_of({vda, nvme}, {}).starts_with("invalid: nothing is mounted on /data, and several partitions could be meant: /dev/vda3, /dev/nvme0n1p3"));
  EXPECT_TRUE(marks_of({disk_with("/dev/vda", {{.type = kEsp}})}, {}).starts_with("not found: no disk of this machine"));
  DiskFacts stick = vda;
  stick.removable = true;
  EXPECT_NE(marks_of({stick}, {}).find("no disk of this machine"), std::string::npos) << "what can be pulled out was not meant";
  DiskFacts marked = vda;
  marked.gpt->partitions[1].attributes = kUnfinished;
  EXPECT_NE(marks_of({marked}, {state}, Keep::kConfiguration).find("asked for before"), std::string::npos);
}

TEST(Reset, MarksAndTheStartThatEmpties) {
  for (const Keep keep : {Keep::kNothing, Keep::kConfiguration}) {
    FakeMachine machine;
    FakeDisk& disk = machine.all["/dev/vda"] = {.mib = 1000};
    make_table(disk, {{.type = kEsp, .label = "STEPPE-ESP"}, {.type = kState}, {.type = kData}});
    Result<std::string> done = mark_for_reset(machine, {{.target = "/state", .source = "/dev/vda2"}}, keep);
    ASSERT_TRUE(done.ok()) << done.error().message();
    EXPECT_EQ(*done, "/dev/vda3 and /dev/vda2");
    EXPECT_EQ(disk.table().partitions[0].attributes, 0U);
    EXPECT_EQ(disk.table().partitions[1].attributes, keep == Keep::kNothing ? kUnfinished : machine::kKeepConfig);
    EXPECT_EQ(disk.table().partitions[2].attributes, kUnfinished);

    for (const char* path : {"agent/raft", "log", "config"}) std::filesystem::create_directories(machine.tree + "/" + path);
    for (const char* path : {"agent/raft/1", "log/0", "config/steppe.hcl", "clock"}) std::ofstream(machine.tree + "/" + path) << path;
    Result<kernel::Beneath> root = kernel::Beneath::at(machine.tree);
    ASSERT_TRUE(root.ok());
    // Cut off before the mark goes: it is there still, and the next start does it again.
    machine.cut_after = machine.did.size();
    EXPECT_FALSE(empty_marked_state(machine, "/dev/vda2", *root).ok());
    machine.cut_after = SIZE_MAX;
    Result<bool> emptied = empty_marked_state(machine, "/dev/vda2", *root);
    ASSERT_TRUE(emptied.ok()) << emptied.error().message();
    EXPECT_EQ(*emptied, keep == Keep::kConfiguration) << "all of it is for whoever formats";
    EXPECT_EQ(machine.has("clock") || machine.has("agent") || machine.has("log"), keep == Keep::kNothing);
    EXPECT_EQ(machine.text("config/steppe.hcl"), "config/steppe.hcl");
    EXPECT_EQ(disk.table().partitions[1].attributes, keep == Keep::kNothing ? kUnfinished : 0);
    EXPECT_FALSE(*empty_marked_state(machine, "/dev/vda2", *root)) << "once";
  }
}

}  // namespace
}  // namespace steppe::install
