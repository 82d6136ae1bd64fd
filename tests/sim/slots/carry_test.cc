#include "init/upgrade/carry.h"

#include <gtest/gtest.h>

#include "tests/sim/slots/fat_disk.h"

namespace steppe::sim {
namespace {

using upgrade::Plan;
using upgrade::StepKind;

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

class Judge final : public upgrade::ImageJudge {
 public:
  Result<upgrade::Judged> judge(upgrade::SlotDirectory&, const std::string&, uint64_t) override {
    if (!fit) return {Code::kDenied, "signed by a stranger"};
    return upgrade::Judged{};
  }
  bool fit = true;
};

struct Bench {
  SeededRng rng{1};
  FatDisk disk{rng, 100};
  Judge judge;
  upgrade::Store store{disk, disk, judge};
  std::string image = std::string(300, 'x');
  Plan plan() {
    Plan plan;
    plan.steps.push_back({.kind = StepKind::kWrite, .name = "steppe-2.efi.part", .digest = upgrade::sha256(as_bytes(image)), .size = image.size()});
    plan.steps.push_back({.kind = StepKind::kRename, .name = "steppe-2.efi.part", .to = "steppe-2+3.efi"});
    return plan;
  }
  std::string carry(const std::string& bytes) {
    Source source(bytes);
    Result<> done = carry_out(plan(), store, &source);
    return done.ok() ? "" : done.error().message();
  }
};

TEST(CarryOut, GivesTheNameOnlyToWhatReadsBack) {
  Bench good;
  EXPECT_EQ(good.carry(good.image), "");
  EXPECT_EQ(*good.disk.content("steppe-2+3.efi"), good.image);

  Bench bad_medium;  // the cache still has the right bytes: only reading past it shows this
  bad_medium.disk.faults.bad_write_per_million = 1'000'000;
  EXPECT_NE(bad_medium.carry(bad_medium.image).find("write steppe-2.efi.part: read back after writing, its digest is "), std::string::npos);
  EXPECT_TRUE(bad_medium.disk.list()->empty());

  Bench other_bytes;
  EXPECT_NE(other_bytes.carry(std::string(300, 'y')).find("expected " + hex(upgrade::sha256(as_bytes(other_bytes.image)))), std::string::npos);
  Bench cut;
  EXPECT_EQ(cut.carry(std::string(299, 'x')), "write steppe-2.efi.part: the image ends after 299 of 300 bytes");
  Bench stranger;
  stranger.judge.fit = false;
  EXPECT_EQ(stranger.carry(stranger.image), "write steppe-2.efi.part: signed by a stranger");
  for (Bench* bench : {&other_bytes, &cut, &stranger}) EXPECT_TRUE(bench->disk.list()->empty());

  Bench full;
  full.image.assign(64 * 101, 'x');
  EXPECT_EQ(full.carry(full.image), "write steppe-2.efi.part: steppe-2.efi.part: no space left");
  EXPECT_TRUE(full.disk.list()->empty());
}

// The copy that counts is never the one that is written over: at every cut one of the two is whole.
TEST(CarryOut, TheRecordSurvivesEveryCut) {
  for (uint64_t cut = 1; cut < 200; cut++) {
    SeededRng rng(cut);
    FatDisk disk(rng, 200);
    Judge judge;
    upgrade::Store store{disk, disk, judge};
    uint64_t kept = 0;
    disk.cut_after(cut);
    for (uint64_t floor = 1; floor < 6; floor++) {
      Plan plan;
      plan.steps.push_back({.kind = StepKind::kRecord, .record = {.security_floor = floor}});
      if (!carry_out(plan, store, nullptr).ok()) break;
      kept = floor;
    }
    disk.power_cut();
    disk.power_on();
    Result<upgrade::Facts> facts = survey(store, {});
    ASSERT_TRUE(facts.ok());
    EXPECT_GE(facts->record.security_floor, kept) << "cut " << cut;
    EXPECT_LE(facts->record.security_floor, kept + 1) << "cut " << cut;
  }
}

}  // namespace
}  // namespace steppe::sim
