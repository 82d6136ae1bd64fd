#include "init/machine/gpt_write.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "init/base/rng.h"
#include "init/machine/layout.h"

namespace steppe::machine {
namespace {

struct Write {
  uint64_t first;
  std::string bytes;
  bool flush = false;  // instead
};

// A disk in memory that keeps what was written to it, in order.
class Recorder final : public BlockWriter {
 public:
  explicit Recorder(std::string bytes, uint32_t block = 512) : bytes(std::move(bytes)), block_(block) {}
  uint32_t block_bytes() const override { return block_; }
  uint64_t blocks() const override { return bytes.size() / block_; }
  Result<> read(uint64_t first, ByteSpan into) override {
    std::ranges::copy(as_bytes(bytes).subspan(first * block_, into.size()), into.begin());
    return {};
  }
  Result<> write(uint64_t first, ByteView from) override {
    EXPECT_EQ(from.size() % block_, 0U);
    EXPECT_LE(first * block_ + from.size(), bytes.size());
    writes.push_back({first, std::string(as_text(from))});
    if (writes.size() == lose) return {};
    bytes.replace(first * block_, from.size(), as_text(from));
    return {};
  }
  Result<> flush() override {
    writes.push_back({0, "", true});
    return {};
  }
  std::string bytes;
  std::vector<Write> writes;
  size_t lose = SIZE_MAX;  // the write that does not reach the disk, from 1

 private:
  uint32_t block_;
};

constexpr uint64_t kMib = 2048;

Partition partition(uint32_t number, std::string_view type, uint64_t first, uint64_t last, std::string label) {
  return {.number = number, .type = *parse_guid(type), .unique = {std::byte{7}}, .first = first, .last = last, .label = std::move(label)};
}

// 12 MiB with an ESP of four.
std::string image(uint32_t block = 512) {
  Recorder disk(std::string(12 << 20, '\0'), block);
  EXPECT_TRUE(new_gpt(disk, Guid{std::byte{1}}).ok());
  const uint64_t mib = (1 << 20) / block;
  Result<Gpt> made = change_gpt(disk, {.add = {partition(1, kTypeEsp, mib, 5 * mib - 1, "STEPPE-ESP")}});
  EXPECT_TRUE(made.ok()) << made.error().message();
  return disk.bytes;
}

TEST(GptWrite, MakesChangesAndFinishes) {
  for (uint32_t block : {512u, 4096u}) {
    const uint64_t mib = (1 << 20) / block;
    Recorder disk(image(block), block);
    Partition state = partition(2, kTypeState, 5 * mib, 9 * mib - 1, "STEPPE-STATE");
    state.attributes = kUnfinished | 4;
    Result<Gpt> gpt = change_gpt(disk, {.add = {state}});
    ASSERT_TRUE(gpt.ok()) << gpt.error().message();
    ASSERT_EQ(gpt->partitions.size(), 2U);
    EXPECT_EQ(gpt->partitions[1].label, "STEPPE-STATE");
    EXPECT_EQ(gpt->partitions[1].attributes, kUnfinished | 4);
    gpt = change_gpt(disk, {.grow = {{2, 11 * mib - 1}}, .finish = {2}});
    ASSERT_TRUE(gpt.ok());
    EXPECT_EQ(gpt->partitions[1].last, 11 * mib - 1);
    EXPECT_EQ(gpt->partitions[1].attributes, 4U);
    EXPECT_EQ(gpt->partitions[1].unique, state.unique);
    EXPECT_TRUE(gpt->primary_good && gpt->backup_good);
    EXPECT_EQ(gpt->disk, Guid{std::byte{1}}) << "the disk's own id stays";
  }
}

TEST(GptWrite, LabelsAreUtf16) {
  Recorder disk(image());
  Result<Gpt> gpt = change_gpt(disk, {.add = {partition(2, kTypeState, 5 * kMib, 6 * kMib - 1, "zust\xc3\xa4nd \xf0\x9f\x8c\xbe")}});
  ASSERT_TRUE(gpt.ok());
  EXPECT_EQ(gpt->partitions[1].label, "zust\xc3\xa4nd \xf0\x9f\x8c\xbe");
  EXPECT_EQ(change_gpt(disk, {.add = {partition(3, kTypeState, 6 * kMib, 7 * kMib - 1, std::string(37, 'x'))}}).error().code(), Code::kInvalid);
}

TEST(GptWrite, AnImageOnALargerDiskReachesItsEnd) {
  Recorder disk(image() + std::string(12 << 20, '\0'));
  Result<Gpt> gpt = change_gpt(disk, {});
  ASSERT_TRUE(gpt.ok()) << gpt.error().message();
  EXPECT_EQ(gpt->backup_at, disk.blocks() - 1);
  EXPECT_EQ(gpt->last_usable, disk.blocks() - 34);
  EXPECT_TRUE(gpt->backup_good);
  EXPECT_EQ(load_le<uint32_t>(disk.bytes.data() + 458), disk.blocks() - 1) << "the protective table, too";
  EXPECT_EQ(gpt->partitions[0].label, "STEPPE-ESP");
}

TEST(GptWrite, RefusesWhatDoesNotFitAndWritesNothing) {
  const std::string before = image();
  const std::vector<std::pair<const char*, GptChange>> wrong = {
      {"a taken number", {.add = {partition(1, kTypeState, 6 * kMib, 7 * kMib, "x")}}},
      {"taken blocks", {.add = {partition(2, kTypeState, 4 * kMib, 7 * kMib, "x")}}},
      {"past the end", {.add = {partition(2, kTypeState, 6 * kMib, 12 * kMib - 5, "x")}}},
      {"no such number", {.add = {partition(129, kTypeState, 6 * kMib, 7 * kMib, "x")}}},
      {"grow what is not there", {.grow = {{2, 7 * kMib}}}},
      {"shrink", {.grow = {{1, 2 * kMib}}}},
      {"finish what is not there", {.finish = {9}}},
  };
  for (const auto& [what, change] : wrong) {
    Recorder disk(before);
    Result<Gpt> done = change_gpt(disk, change);
    ASSERT_FALSE(done.ok()) << what;
    EXPECT_EQ(done.error().code(), Code::kInvalid) << what;
    EXPECT_TRUE(disk.writes.empty()) << what;
  }
  Recorder blank(std::string(12 << 20, '\0'));
  EXPECT_EQ(change_gpt(blank, {}).error().code(), Code::kNotFound);
}

TEST(GptWrite, AWriteThatIsLostIsFound) {
  for (size_t lost : {1, 3, 5, 7}) {  // with a flush between each two
    Recorder disk(image());
    disk.lose = lost;
    EXPECT_EQ(change_gpt(disk, {.add = {partition(2, kTypeState, 5 * kMib, 6 * kMib - 1, "STEPPE-STATE")}}).error().code(), Code::kIo) << lost;
  }
}

// Every state that a power cut may leave: all that was flushed, and of what was written since any part of its blocks. In each there
// must be a table, the old or the new one; and doing it again must end well.
void cut_everywhere(const std::string& before, const GptChange& change, size_t old_count) {
  Recorder whole(before);
  ASSERT_TRUE(change_gpt(whole, change).ok());
  const size_t new_count = read_gpt(whole)->partitions.size();
  SeededRng rng(7);
  size_t states = 0;
  for (size_t end = 0; end <= whole.writes.size(); ++end) {
    size_t flushed = end;
    while (flushed > 0 && !whole.writes[flushed - 1].flush) --flushed;
    for (int sample = 0; sample < 8; ++sample, ++states) {
      Recorder disk(before);
      for (size_t i = 0; i < end; ++i) {
        const Write& write = whole.writes[i];
        for (size_t at = 0; at < write.bytes.size(); at += 512) {
          if (i < flushed || rng.chance(1, 2)) disk.bytes.replace(write.first * 512 + at, 512, write.bytes.substr(at, 512));
        }
      }
      Result<Gpt> found = read_gpt(disk);
      ASSERT_TRUE(found.ok()) << "after " << end << " of " << whole.writes.size() << ": " << found.error().message();
      ASSERT_TRUE(found->partitions.size() == old_count || found->partitions.size() == new_count) << end;
      const bool again = found->partitions.size() == old_count;
      ASSERT_TRUE(change_gpt(disk, again ? change : GptChange{}).ok()) << end;
      EXPECT_EQ(disk.bytes, whole.bytes) << end;
    }
  }
  EXPECT_GT(states, 50U);
}

TEST(GptWrite, APowerCutLeavesATable) {
  const GptChange change{.add = {partition(2, kTypeState, 5 * kMib, 9 * kMib - 1, "STEPPE-STATE")}};
  const std::string before = image();
  cut_everywhere(before, change, 1);
  cut_everywhere(before + std::string(2 << 20, '\0'), change, 1);
  std::string first_damaged = before, second_damaged = before;
  first_damaged[512 + 60] ^= 1;
  second_damaged[second_damaged.size() - 512 + 60] ^= 1;
  cut_everywhere(first_damaged, change, 1);
  cut_everywhere(second_damaged, change, 1);
}

TEST(GptWrite, TwoWholeCopiesThatDifferAreNotGood) {
  Recorder disk(image());
  const std::string before = disk.bytes;
  ASSERT_TRUE(change_gpt(disk, {.add = {partition(2, kTypeState, 5 * kMib, 9 * kMib - 1, "STEPPE-STATE")}}).ok());
  // The second copy new, the first one old: where a cut between them leaves it.
  disk.bytes.replace(0, 1 << 20, before, 0, 1 << 20);
  Result<Gpt> gpt = read_gpt(disk);
  ASSERT_TRUE(gpt.ok());
  EXPECT_EQ(gpt->partitions.size(), 1U);
  EXPECT_FALSE(gpt->backup_good);
}

}  // namespace
}  // namespace steppe::machine
