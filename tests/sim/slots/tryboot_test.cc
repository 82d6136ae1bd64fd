#include "init/upgrade/tryboot.h"

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <set>

#include "init/base/text.h"
#include "tests/sim/slots/fat_disk.h"

namespace steppe::sim {
namespace {

namespace pi = upgrade::tryboot;
using upgrade::Candidate;
using upgrade::Digest;
using upgrade::Downgrade;
using upgrade::Judged;
using upgrade::SlotDirectory;

constexpr uint32_t kPartitions[2] = {2, 3};

Result<Judged> judge_text(const std::string& content) {
  size_t cut = content.find("BODY");
  if (cut == content.npos) return {Code::kInvalid, "not an image"};
  STEPPE_TRY(upgrade::Manifest manifest, upgrade::decode_manifest(as_bytes(content).first(cut)));
  return Judged{manifest, upgrade::sha256(as_bytes(content).first(cut))};
}

class Judge final : public upgrade::ImageJudge {
 public:
  Result<Judged> judge(SlotDirectory& directory, const std::string& name, uint64_t size) override {
    std::string content(size, '\0');
    STEPPE_TRY(size_t got, directory.read(name, 0, std::as_writable_bytes(std::span(content))));
    return judge_text(content.substr(0, got));
  }
};

// The kernel is the image backwards: the model knows whether both belong together and are whole.
class Unpacker final : public pi::Unpacker {
 public:
  Result<> unpack(SlotDirectory& directory, const std::string& image) override {
    std::string content(4096, '\0');
    STEPPE_TRY(size_t got, directory.read(image, 0, std::as_writable_bytes(std::span(content))));
    content.resize(got);
    for (std::string_view name : pi::kUnpacked) {
      STEPPE_TRY_VOID(directory.create(std::string(name)));
      STEPPE_TRY_VOID(directory.append(std::string(name), as_bytes(std::string(content.rbegin(), content.rend()))));
      STEPPE_TRY_VOID(directory.sync_file(std::string(name)));
    }
    return {};
  }
};

class Source final : public upgrade::ImageSource {
 public:
  explicit Source(std::string bytes) : bytes_(std::move(bytes)) {}
  Result<size_t> read(uint64_t offset, ByteSpan into) override {
    size_t length = offset >= bytes_.size() ? 0 : std::min<size_t>(into.size(), bytes_.size() - offset);
    std::ranges::copy(as_bytes(bytes_).subspan(std::min<size_t>(offset, bytes_.size()), length), into.begin());
    return length;
  }

 private:
  std::string bytes_;
};

struct Mutant {
  std::function<void(pi::Plan&)> plan;
  bool replace_autoboot = false;  // written anew instead of in place
  bool file_sync_lies = false;
};

// One board's life. Images are healthy or not; what is not healthy is reset by its watchdog. After each start: with no more help,
// the side that autoboot.txt names is whole and healthy.
class Board {
 public:
  Board(uint64_t seed, Mutant mutant) : rng_(seed), mutant_(std::move(mutant)), left_(rng_, 400), right_(rng_, 400), boot_(rng_, 64, 512) {
    boot_.faults.whole_sectors = true;
    Judge judge;
    Unpacker unpacker;
    pi::Store store{{&left_, &right_}, boot_, boot_, judge, unpacker};
    (void)boot_.create("autoboot.txt");
    (void)boot_.append("autoboot.txt", as_bytes(pi::format_autoboot({.always = 2, .once = 3})));
    (void)boot_.sync_directory();
    pi::Facts empty{.autoboot = {.always = 3, .once = 2}};  // the first image is written while the other side is the usual one
    empty.sides[0] = {.partition = 2, .free_bytes = 1 << 24};
    empty.sides[1] = {.partition = 3};
    Source source(make("1", true));
    (void)carry_out(*stage(empty, made_.begin()->second.first, Downgrade::kAllow), store, &source);
    left_.faults.file_sync_lies = right_.faults.file_sync_lies = mutant_.file_sync_lies;
  }

  std::string run(int starts) {
    for (int i = 0; i < starts && broken_.empty(); i++) start();
    return broken_;
  }
  uint64_t blessed = 0, cuts = 0, refused = 0;

 private:
  std::string make(const std::string& version, bool healthy) {
    Candidate candidate{.manifest = {.version = version, .arch = "arm64"}};
    rng_.fill(candidate.manifest.build_id);
    std::string section = *upgrade::encode_manifest(candidate.manifest),
                bytes = section + "BODY" + std::string(100 + rng_.below(200), 'x') + (healthy ? "H" : "U");
    candidate.digest = upgrade::sha256(as_bytes(bytes));
    candidate.section = upgrade::sha256(as_bytes(section));
    candidate.size = bytes.size();
    made_[bytes] = {candidate, healthy};
    return bytes;
  }

  // What the firmware starts: config.txt must be there and what it names be whole.
  std::optional<std::string> firmware(bool once) {
    std::string text(512, '\0');
    Result<size_t> got = boot_.read("autoboot.txt", 0, std::as_writable_bytes(std::span(text)));
    Result<pi::Autoboot> autoboot = got.ok() ? pi::parse_autoboot(std::string_view(text).substr(0, *got)) : Result<pi::Autoboot>(got.error());
    if (!autoboot.ok()) return std::nullopt;
    partition_ = once ? autoboot->once : autoboot->always;
    FatDisk& side = partition_ == 2 ? left_ : right_;
    if (!side.content("config.txt").ok()) return std::nullopt;
    Result<std::string> kernel = side.content("kernel.img"), initrd = side.content("initrd.img");
    if (!kernel.ok() || !initrd.ok() || *kernel != *initrd) return std::nullopt;
    std::string image(kernel->rbegin(), kernel->rend());
    return made_.contains(image) ? std::optional(image) : std::nullopt;
  }

  void start() {
    for (FatDisk* disk : {&left_, &right_, &boot_}) {
      disk->power_on();
      if (rng_.chance(1, 2)) disk->reclaim();
    }
    std::optional<std::string> usual = firmware(false);
    if (!usual || !made_.at(*usual).second) {
      broken_ = "the usual side does not start a healthy image";
      return;
    }
    std::optional<std::string> image = std::exchange(tryboot_, false) ? firmware(true) : firmware(false);
    if (image && made_.at(*image).second) live(*image);
    for (FatDisk* disk : {&left_, &right_, &boot_}) disk->power_cut();
  }

  void live(const std::string& image) {
    FatDisk* disks[] = {&left_, &right_, &boot_};
    if (rng_.chance(2, 3)) disks[rng_.below(3)]->cut_after(1 + rng_.below(120));
    Judge judge;
    Unpacker unpacker;
    pi::Store store{{&left_, &right_}, boot_, boot_, judge, unpacker};
    for (int i = 0; i < 4; i++) {
      Result<pi::Facts> facts = survey(store, kPartitions, rng_.chance(2, 3) ? std::optional(partition_) : std::nullopt, made_.at(image).first.section);
      if (!facts.ok()) return;
      bool done;
      if (i == 0) {
        done = carry(recover(*facts), store, nullptr);
        if (done && facts->record.trial && facts->record.trial->left == 0) refused++;
      } else if (i == 1) {
        bool change = facts->autoboot.always != partition_;
        done = carry(bless(*facts), store, nullptr);
        if (done && change) blessed++;
      } else if (i == 2) {
        if (rng_.chance(1, 2)) break;
        std::string next = make(std::to_string(++version_), rng_.chance(1, 2));
        Source source(next);
        done = carry(stage(*facts, made_.at(next).first, Downgrade::kRefuse), store, &source);
      } else {
        Result<pi::Plan> plan = rng_.chance(1, 6) ? revert(*facts) : try_staged(*facts);
        if (!plan.ok()) break;
        bool once = plan->reboot == upgrade::Reboot::kTryboot;
        done = carry(std::move(plan), store, nullptr);
        tryboot_ = done && once;
      }
      if (left_.off() || right_.off() || boot_.off()) {
        cuts++;
        tryboot_ = false;  // the flag does not outlive the power
        return;
      }
    }
    // More tries of what is staged: the firmware came back to the usual side.
    Result<pi::Facts> facts = survey(store, kPartitions, partition_, made_.at(image).first.section);
    if (facts.ok() && !tryboot_ && carry(try_staged(*facts), store, nullptr)) tryboot_ = true;
  }

  bool carry(Result<pi::Plan> plan, pi::Store& store, upgrade::ImageSource* source) {
    if (!plan.ok()) return false;
    if (mutant_.plan) mutant_.plan(*plan);
    if (mutant_.replace_autoboot)
      for (const pi::Act& act : plan->acts)
        if (act.kind == pi::ActKind::kAutoboot) {
          (void)boot_.remove("autoboot.txt");
          (void)boot_.create("autoboot.txt");
          return boot_.append("autoboot.txt", as_bytes(pi::format_autoboot(act.autoboot))).ok() && boot_.sync_file("autoboot.txt").ok();
        }
    bool done = carry_out(*plan, store, source).ok();
    if (left_.off() || right_.off() || boot_.off())
      for (FatDisk* disk : {&left_, &right_, &boot_}) disk->power_cut();
    return done;
  }

  SeededRng rng_;
  Mutant mutant_;
  FatDisk left_, right_, boot_;
  std::map<std::string, std::pair<Candidate, bool>> made_;
  uint32_t partition_ = 2;
  bool tryboot_ = false;
  uint64_t version_ = 1;
  std::string broken_;
};

TEST(Tryboot, TheUsualSideStaysHealthyUnderEveryPowerCut) {
  uint64_t blessed = 0, cuts = 0, refused = 0;
  for (uint64_t seed = 0; seed < 300; seed++) {
    Board board(seed, {});
    ASSERT_EQ(board.run(30), "") << "seed " << seed;
    blessed += board.blessed;
    cuts += board.cuts;
    refused += board.refused;
  }
  EXPECT_GT(blessed, 300u);
  EXPECT_GT(cuts, 300u);
  EXPECT_GT(refused, 100u);
  std::printf("%lu blessed, %lu cuts, %lu failed trials\n", blessed, cuts, refused);
}

TEST(Tryboot, FindsEveryPlantedFault) {
  struct Case {
    const char* name;
    Mutant mutant;
  };
  auto good_at_once = [](pi::Plan& plan) {
    for (size_t i = 0; i < plan.acts.size(); i++)
      if (plan.acts[i].kind == pi::ActKind::kActivate) {
        uint32_t side = kPartitions[plan.acts[i].side];
        plan.acts.push_back({.kind = pi::ActKind::kAutoboot, .autoboot = {.always = side, .once = side == 2 ? 3u : 2u}});
        return;
      }
  };
  auto other_side = [](pi::Plan& plan) {
    for (pi::Act& act : plan.acts) act.side = 1 - act.side;
  };
  const Case cases[] = {
      {"autoboot.txt is changed before the trial", {.plan = good_at_once}},
      {"the running side is written", {.plan = other_side}},
      {"autoboot.txt is written anew", {.replace_autoboot = true}},
  };
  for (const Case& planted : cases) {
    uint64_t seed = 0;
    while (seed < 300 && Board(seed, planted.mutant).run(30).empty()) seed++;
    EXPECT_LT(seed, 300u) << planted.name << " was not found";
  }
}

TEST(Tryboot, ReadsOnlyTheTwoSlotForm) {
  pi::Autoboot autoboot{.always = 2, .once = 3};
  EXPECT_EQ(pi::format_autoboot(autoboot).size(), pi::kAutobootBytes);
  EXPECT_EQ(*pi::parse_autoboot(pi::format_autoboot(autoboot)), autoboot);
  EXPECT_EQ(*pi::parse_autoboot("[all]\r\ntryboot_a_b=1\r\nboot_partition=2\r\n\r\n[tryboot]\r\nboot_partition=3\r\n"), autoboot);
  for (const char* bad : {"", "[all]\nboot_partition=2\n", "[all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=2\n",
                          "boot_partition=2\n", "[all]\ntryboot_a_b=1\nboot_partition=0\n[tryboot]\nboot_partition=3\n",
                          "[all]\ntryboot_a_b=1\nboot_partition=2\nboot_partition=4\n[tryboot]\nboot_partition=3\n",
                          "[all]\ntryboot_a_b=1\nboot_partition=2\n[pi4]\nboot_partition=3\n"})
    EXPECT_FALSE(pi::parse_autoboot(bad).ok()) << bad;
}

}  // namespace
}  // namespace steppe::sim
