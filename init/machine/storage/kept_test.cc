#include "init/machine/storage/kept.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "init/base/text.h"
#include "init/supervise/end_record.h"

namespace steppe::storage {
namespace {

namespace fs = std::filesystem;

class FixedClock final : public Clock {
 public:
  MonoTime now() const override { return {1}; }
  WallTime wall() const override { return {seconds * 1'000'000'000}; }
  int64_t seconds = 1'793'500'000;
};

class QuietPool final : public boot::EntropyPool {
 public:
  Result<> add(ByteView, int bits) override {
    counted += bits;
    return {};
  }
  bool fill(ByteSpan out) override {
    std::ranges::fill(out, std::byte{7});
    return true;
  }
  int counted = 0;
};

std::string content(const std::string& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

// The directories of a machine, and what it says at a start.
struct Machine {
  Machine() {
    char name[] = "/tmp/steppe-kept-XXXXXX";
    path = ::mkdtemp(name);
    for (const char* one : {"state", "run", "pstore"}) fs::create_directory(path + "/" + one);
  }
  ~Machine() { fs::remove_all(path); }
  void start(const std::string& boot = "b1") {
    said.clear();
    wrong.clear();
    const kernel::Beneath state = *kernel::Beneath::at(path + "/state"), run = *kernel::Beneath::at(path + "/run"), crashes = *kernel::Beneath::at(path + "/pstore");
    take_up({.state = state, .run = run, .crashes = &crashes, .machine = 5, .boot = boot}, clock, pool,
            {[&](std::string_view text) { said.emplace_back(text); }, [&](std::string_view text) { wrong.emplace_back(text); }});
  }
  void end(const char* why) {
    std::ofstream(path + "/state/log/end") << supervise::encode_end({.ending = "reboot", .reason = "ctrl-alt-del", .why = why, .boot = "b1", .number = 3, .time_s = clock.seconds});
  }
  std::string path;
  FixedClock clock;
  QuietPool pool;
  std::vector<std::string> said, wrong;
};

TEST(Kept, TheFirstStartHasNoEndToTell) {
  Machine machine;
  machine.start();
  EXPECT_EQ(machine.said, std::vector<std::string>());
  EXPECT_EQ(machine.wrong, std::vector<std::string>());
  EXPECT_EQ(content(machine.path + "/run/last-end"), "orderly unknown\n");
  EXPECT_TRUE(fs::exists(machine.path + "/run/state")) << "the log may go to the disk";
  EXPECT_EQ(content(machine.path + "/state/log/boot"), "b1\n");
  EXPECT_EQ(fs::file_size(machine.path + "/state/seed"), 84U);
  EXPECT_TRUE(fs::exists(machine.path + "/state/clock"));
  EXPECT_EQ(fs::file_size(machine.path + "/state/ballast"), kBallast.count);
}

TEST(Kept, AnEndIsShownOnceAndNoted) {
  Machine machine;
  machine.start();
  machine.end("an image");
  machine.start("b2");
  EXPECT_EQ(machine.said, std::vector<std::string>{"the last end: reboot, ctrl-alt-del: an image"});
  EXPECT_TRUE(content(machine.path + "/run/last-end").starts_with("orderly yes\nsteppe-end 1\nending reboot\n"));
  EXPECT_EQ(content(machine.path + "/state/log/ends"), "steppe-ends 1\n2026-11-01T02:26:40Z reboot ctrl-alt-del: an image\n");
  EXPECT_FALSE(fs::exists(machine.path + "/state/log/end"));
  machine.start("b3");
  EXPECT_EQ(machine.wrong, std::vector<std::string>{"the last end was not orderly: power, a reset or a crash"});
  EXPECT_EQ(content(machine.path + "/run/last-end"), "orderly no\n");
  std::ofstream(machine.path + "/state/log/end") << "steppe-end 1\nnonsense\n";
  machine.start("b4");
  EXPECT_EQ(machine.wrong, std::vector<std::string>{"the record of the last end is damaged"});
  machine.start("b5");
  EXPECT_EQ(machine.wrong.size(), 1U) << "and is not there for ever";
}

TEST(Kept, TheListOfEndsIsBounded) {
  Machine machine;
  machine.start();
  std::string all = "steppe-ends 1\n";
  while (all.size() + 100 < kMaxEnds.count) all += "2026-11-01T02:26:40Z reboot an older one\n";
  std::ofstream(machine.path + "/state/log/ends") << all;
  for (int i = 0; i < 5; ++i) {
    machine.end("newest");
    machine.start();
    const std::string now = content(machine.path + "/state/log/ends");
    EXPECT_LE(now.size(), kMaxEnds.count);
    EXPECT_TRUE(now.starts_with("steppe-ends 1\n2026"));
    EXPECT_TRUE(now.ends_with("newest\n"));
  }
  EXPECT_LT(content(machine.path + "/state/log/ends").size(), kMaxEnds.count * 3 / 4);
}

TEST(Kept, CrashesAreTakenFromTheFirmware) {
  Machine machine;
  std::ofstream(machine.path + "/pstore/dmesg-efi-1") << "Oops";
  std::ofstream(machine.path + "/pstore/dmesg-efi-2") << std::string(kMaxCrashRecord.count + 1, 'x');
  fs::create_directory(machine.path + "/pstore/odd");
  machine.start();
  EXPECT_EQ(content(machine.path + "/state/log/pstore/001793500000-dmesg-efi-1"), "Oops");
  EXPECT_FALSE(fs::exists(machine.path + "/pstore/dmesg-efi-1"));
  EXPECT_TRUE(fs::exists(machine.path + "/pstore/dmesg-efi-2")) << "what is not safe stays";
  ASSERT_EQ(machine.wrong.size(), 1U);
  EXPECT_EQ(machine.said, std::vector<std::string>{"1 records of a crash of the kernel are kept in /state/log/pstore"});
  fs::remove(machine.path + "/pstore/dmesg-efi-2");
  for (int i = 0; i < 20; ++i) {
    machine.clock.seconds += 10;
    std::ofstream(machine.path + "/pstore/dmesg-efi-1") << std::string(200 << 10, 'x');
    machine.start();
  }
  uint64_t total = 0;
  for (const auto& entry : fs::directory_iterator(machine.path + "/state/log/pstore")) total += entry.file_size();
  EXPECT_LE(total, kMaxCrashDirectory.count);
  EXPECT_GT(total, kMaxCrashDirectory.count / 2);
  EXPECT_FALSE(fs::exists(machine.path + "/state/log/pstore/001793500000-dmesg-efi-1")) << "the oldest goes first";
  EXPECT_TRUE(fs::exists(machine.path + "/state/log/pstore/001793500200-dmesg-efi-1"));
}

TEST(Kept, TheSeedOfAnOrderlyEndCounts) {
  Machine machine;
  machine.start();
  machine.start();
  EXPECT_EQ(machine.pool.counted, 0);
  const kernel::Beneath state = *kernel::Beneath::at(machine.path + "/state");
  ASSERT_TRUE(boot::leave_seed(state.fd(), 5, machine.pool).ok());
  machine.start();
  EXPECT_EQ(machine.pool.counted, 256);
}

}  // namespace
}  // namespace steppe::storage
