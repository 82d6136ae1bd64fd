#include "init/boot/random_seed.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "init/sys/kernel/fd.h"

namespace steppe::boot {
namespace {

class FakePool final : public EntropyPool {
 public:
  explicit FakePool(std::string file) : file_(std::move(file)) {}
  Result<> add(ByteView bytes, int bits) override {
    added.emplace_back(std::string(as_text(bytes)), bits);
    std::ifstream in(file_);
    std::stringstream text;
    text << in.rdbuf();
    on_disk.push_back(text.str());
    return {};
  }
  bool fill(ByteSpan out) override {
    for (std::byte& b : out) b = static_cast<std::byte>(next++);
    return initialised;
  }
  std::vector<std::pair<std::string, int>> added;
  std::vector<std::string> on_disk;  // the file at the moment of each add()
  bool initialised = true;
  uint8_t next = 1;

 private:
  std::string file_;
};

struct State {
  State() {
    char name[] = "/tmp/steppe-seed-XXXXXX";
    path = ::mkdtemp(name);
    fd = kernel::Fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
  ~State() { std::filesystem::remove_all(path); }
  std::string file() const { return path + "/seed"; }
  Seed read() const {
    std::ifstream in(file());
    std::stringstream text;
    text << in.rdbuf();
    Result<Seed> seed = decode_seed(text.str());
    EXPECT_TRUE(seed.ok());
    return seed.ok() ? *seed : Seed();
  }
  std::string path;
  kernel::Fd fd;
};

TEST(RandomSeed, IsCountedOnceAndOnlyAfterAnOrderlyEnd) {
  State state;
  FakePool pool(state.file());
  EXPECT_EQ(*take_seed(state.fd.get(), 7, pool), SeedUse::kNone);
  EXPECT_FALSE(state.read().counts) << "made at a start";
  EXPECT_EQ(*take_seed(state.fd.get(), 7, pool), SeedUse::kMixed) << "the machine ended otherwise";
  ASSERT_TRUE(leave_seed(state.fd.get(), 7, pool).ok());
  const Seed left = state.read();
  EXPECT_TRUE(left.counts);
  pool.added.clear();
  pool.on_disk.clear();
  EXPECT_EQ(*take_seed(state.fd.get(), 7, pool), SeedUse::kCounted);
  ASSERT_EQ(pool.added.size(), 2U);
  EXPECT_EQ(pool.added[0].second, 0);
  EXPECT_EQ(pool.added[1], std::pair(std::string(as_text(left.bytes)), 256));
  EXPECT_NE(pool.on_disk[1], encode_seed(left)) << "it is off the disk before it counts";
  EXPECT_EQ(*take_seed(state.fd.get(), 7, pool), SeedUse::kMixed) << "not twice";
  EXPECT_NE(std::string(as_text(state.read().bytes)), std::string(as_text(left.bytes)));
}

TEST(RandomSeed, CountsForNoOtherMachineAndFromNoUninitialisedGenerator) {
  State state;
  FakePool pool(state.file());
  ASSERT_TRUE(leave_seed(state.fd.get(), 7, pool).ok());
  EXPECT_EQ(*take_seed(state.fd.get(), 8, pool), SeedUse::kMixed) << "a copy of the disk";
  ASSERT_TRUE(leave_seed(state.fd.get(), 0, pool).ok());
  EXPECT_EQ(*take_seed(state.fd.get(), 0, pool), SeedUse::kMixed) << "which machine this is cannot be told";
  pool.initialised = false;
  ASSERT_TRUE(leave_seed(state.fd.get(), 7, pool).ok());
  EXPECT_FALSE(state.read().counts);
  const Seed before = state.read();
  pool.next = 1;
  EXPECT_EQ(*take_seed(state.fd.get(), 7, pool), SeedUse::kMixed);
  const Seed first = state.read();
  pool.next = 1;  // the same at every start
  EXPECT_EQ(*take_seed(state.fd.get(), 7, pool), SeedUse::kMixed);
  EXPECT_NE(std::string(as_text(first.bytes)), std::string(as_text(state.read().bytes)));
  EXPECT_NE(std::string(as_text(first.bytes)), std::string(as_text(before.bytes)));
}

TEST(RandomSeed, WithoutANewOneTheOldCountsAsNothing) {
  State state;
  FakePool pool(state.file());
  ASSERT_TRUE(leave_seed(state.fd.get(), 7, pool).ok());
  // Writing fails: what is opened is a device that refuses.
  std::filesystem::remove(state.file());
  std::filesystem::create_directory(state.file());
  pool.added.clear();
  EXPECT_FALSE(take_seed(state.fd.get(), 7, pool).ok());
  for (const auto& [bytes, bits] : pool.added) EXPECT_EQ(bits, 0);
}

TEST(RandomSeed, FilesThatAreNone) {
  Seed seed{.counts = true, .machine = 9};
  const std::string good = encode_seed(seed);
  ASSERT_TRUE(decode_seed(good).ok());
  EXPECT_EQ(decode_seed(good)->machine, 9U);
  for (size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] ^= 1;
    EXPECT_FALSE(decode_seed(bad).ok()) << i;
  }
  EXPECT_FALSE(decode_seed("").ok());
  EXPECT_FALSE(decode_seed(good + "x").ok());
  State state;
  FakePool pool(state.file());
  std::ofstream(state.file()) << std::string(500, 'x');
  EXPECT_EQ(*take_seed(state.fd.get(), 7, pool), SeedUse::kNone);
  EXPECT_EQ(*take_seed(state.fd.get(), 7, pool), SeedUse::kMixed) << "it was replaced";
}

TEST(RandomSeed, MarksOfMachines) {
  State state;
  auto mark = [&](const char* uuid) {
    std::ofstream(state.path + "/uuid") << uuid << "\n";
    return machine_mark((state.path + "/uuid").c_str());
  };
  EXPECT_EQ(machine_mark("/nonexistent"), 0U);
  EXPECT_EQ(mark("00000000-0000-0000-0000-000000000000"), 0U);
  EXPECT_EQ(mark("ffffffff-ffff-ffff-ffff-ffffffffffff"), 0U);
  EXPECT_EQ(mark("x"), 0U);
  EXPECT_NE(mark("11111111-2222-3333-4444-555555555555"), mark("11111111-2222-3333-4444-555555555556"));
}

}  // namespace
}  // namespace steppe::boot
