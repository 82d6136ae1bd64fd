#include "image/disk/device_write.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <span>

#include "image/disk/target_check.h"
#include "init/base/bytes.h"
#include "init/upgrade/sha256.h"

namespace steppe::disk {
namespace {

class Memory final : public Source {
 public:
  explicit Memory(std::string content) : content_(std::move(content)) {}
  uint64_t bytes() const override { return content_.size(); }
  Result<> read(uint64_t offset, ByteSpan into) override {
    if (fails) return Error(Code::kIo, "the file is gone");
    std::ranges::copy(as_bytes(content_).subspan(offset, into.size()), into.begin());
    return {};
  }
  bool fails = false;

 private:
  std::string content_;
};

// A device that keeps what was written in a cache until it is flushed, and has the faults of real ones.
class Disk final : public Target {
 public:
  explicit Disk(uint64_t bytes) : medium(bytes, '\xff'), cache_(medium), real_bytes(bytes) {}
  uint64_t bytes() const override { return medium.size(); }
  Result<> write(uint64_t offset, ByteView from) override {
    if (writes_left-- == 0) return Error(Code::kIo, "write: Input/output error");
    each_run(offset, from.size(), [&](uint64_t at, size_t done, size_t size) { std::ranges::copy(as_text(from.subspan(done, size)), cache_.begin() + static_cast<ptrdiff_t>(at)); });
    return {};
  }
  Result<> flush() override {
    if (flushes_left-- == 0) return Error(Code::kIo, "flush: Input/output error");
    ++flushes;
    if (flushes != dropped_flush) medium = cache_;
    cache_ = medium;
    return {};
  }
  Result<> read(uint64_t offset, ByteSpan into) override {
    if (reads_fail) return Error(Code::kIo, "read: Input/output error");
    each_run(offset, into.size(), [&](uint64_t at, size_t done, size_t size) { std::ranges::copy(as_bytes(medium).subspan(at, size), into.begin() + static_cast<ptrdiff_t>(done)); });
    return {};
  }
  bool starts() const { return medium.substr(0, 8) == "bootable"; }

  std::string medium;

 private:
  // What a device of `real_bytes` makes of a stretch: it begins again from its start.
  void each_run(uint64_t offset, size_t size, auto run) const {
    for (size_t done = 0; done < size;) {
      const uint64_t at = (offset + done) % real_bytes;
      const size_t here = std::min<uint64_t>(size - done, real_bytes - at);
      run(at, done, here);
      done += here;
    }
  }
  std::string cache_;

 public:
  uint64_t real_bytes;  // a stick may have less than it says, and begin again from its start
  int writes_left = -1, flushes_left = -1, flushes = 0, dropped_flush = 0;
  bool reads_fail = false;
};

std::string image_of(uint64_t bytes) {
  std::string out(bytes, '\0');
  for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<char>(i * 31 + i / 4096 + (i >> 20) * 7);  // no MiB is like another
  return out.replace(0, 8, "bootable");
}

constexpr uint64_t kImage = 9 * (1u << 20) + 512, kDevice = 12 * (1u << 20);
void no_progress(const Progress&) {}

TEST(WriteDevice, WritesAndReadsBack) {
  const std::string content = image_of(kImage);
  Memory image(content);
  Disk disk(kDevice);
  std::vector<std::pair<Progress::Phase, uint64_t>> seen;
  const auto digest = write_device(image, disk, [&](const Progress& p) { seen.emplace_back(p.phase, p.done); });
  ASSERT_TRUE(digest.ok()) << digest.error().message();
  EXPECT_EQ(*digest, hex(upgrade::sha256(as_bytes(content))));
  EXPECT_EQ(disk.medium.substr(0, kImage), content);
  // The old partition table's copy at the end is gone, the rest of the device is not touched.
  EXPECT_EQ(disk.medium.substr(kDevice - (1u << 20)), std::string(1u << 20, '\0'));
  EXPECT_EQ(disk.medium[kImage], '\xff');
  EXPECT_EQ(disk.medium[kDevice - (1u << 20) - 1], '\xff');
  ASSERT_EQ(seen.size(), 6u);
  EXPECT_EQ(seen[2], std::pair(Progress::Phase::kWrite, kImage));
  EXPECT_EQ(seen[5], std::pair(Progress::Phase::kReadBack, kImage));
}

TEST(WriteDevice, OneThatIsJustAsLarge) {
  const std::string content = image_of(kImage);
  Memory image(content);
  Disk disk(kImage);
  EXPECT_TRUE(write_device(image, disk, no_progress).ok());
  EXPECT_EQ(disk.medium, content);
  const std::string small = image_of(1u << 20);
  Memory smallest(small);
  Disk other(1u << 20);
  EXPECT_TRUE(write_device(smallest, other, no_progress).ok());
  EXPECT_EQ(other.medium, small);
}

// Whatever write or flush fails: nothing that looks bootable and is not whole stays, and the error says what is there.
TEST(WriteDevice, EveryFailureLeavesAKnownState) {
  const std::string content = image_of(kImage);
  bool succeeded = false;
  for (int nth = 0; !succeeded; ++nth) {
    ASSERT_LT(nth, 20);
    Memory image(content);
    Disk disk(kDevice);
    disk.writes_left = nth;
    const auto digest = write_device(image, disk, no_progress);
    succeeded = digest.ok();
    if (succeeded) {
      EXPECT_EQ(nth, 6);  // start, end, three pieces, and the start at last
      continue;
    }
    EXPECT_TRUE(digest.error().message().contains("write: Input/output error. State: ")) << digest.error().message();
    EXPECT_FALSE(disk.starts()) << nth;
    EXPECT_EQ(digest.error().message().contains("nothing starts from it, and what was on it is lost"), nth >= 2) << nth;
  }
  for (int nth = 0; nth < 3; ++nth) {
    Memory image(content);
    Disk disk(kDevice);
    disk.flushes_left = nth;
    const auto digest = write_device(image, disk, no_progress);
    ASSERT_FALSE(digest.ok());
    EXPECT_TRUE(digest.error().message().contains("flush: Input/output error. State: "));
    EXPECT_FALSE(disk.starts()) << nth;
  }
}

TEST(WriteDevice, NothingIsLostByAFileThatCannotBeRead) {
  Memory image(image_of(kImage));
  image.fails = true;
  Disk disk(kDevice);
  const auto digest = write_device(image, disk, no_progress);
  ASSERT_FALSE(digest.ok());
  EXPECT_TRUE(digest.error().message().contains("nothing was written")) << digest.error().message();
  EXPECT_EQ(disk.medium, std::string(kDevice, '\xff'));
}

// Sticks that lie: about their size, or about having written.
TEST(WriteDevice, WhatIsNotThereIsFoundByReadingBack) {
  const std::string content = image_of(kImage);
  struct Row {
    uint64_t real_bytes;
    int dropped_flush;
    bool reads_fail;
    std::string_view says;
  };
  for (const Row& row : {Row{6u << 20, 0, false, "does not hold what was written, in the 4194304 bytes from byte 0 on"},
                         Row{kDevice, 2, false, "does not hold what was written, in the 4194304 bytes from byte 0 on"},
                         Row{kDevice, 3, false, "does not hold what was written, in the 4194304 bytes from byte 0 on"},
                         Row{kDevice, 0, true, "read: Input/output error"}}) {
    Memory image(content);
    Disk disk(kDevice);
    disk.real_bytes = row.real_bytes;
    disk.dropped_flush = row.dropped_flush;
    disk.reads_fail = row.reads_fail;
    const auto digest = write_device(image, disk, no_progress);
    ASSERT_FALSE(digest.ok());
    EXPECT_TRUE(digest.error().message().contains(row.says)) << digest.error().message();
    EXPECT_TRUE(digest.error().message().contains("nothing starts from it")) << digest.error().message();
    EXPECT_FALSE(disk.starts());
  }
}

device::BlockUse stick() {
  return {.name = "sdb", .bytes = 16'000'000'000, .removable = true, .model = "Ultra\x1b[2J", .serial = "4C53"};
}

TEST(CheckTarget, Rules) {
  struct Row {
    std::string_view what;
    void (*change)(device::BlockUse&);
    std::optional<std::string> yes;
    Code code;
    std::string_view says;
  };
  const Row rows[] = {
      {"partition", [](device::BlockUse& d) { d.name = "sdb1", d.disk = "sdb"; }, "4C53", Code::kInvalid, "is a partition of /dev/sdb"},
      {"no medium", [](device::BlockUse& d) { d.bytes = 0; }, "4C53", Code::kInvalid, "no medium"},
      {"root", [](device::BlockUse& d) { d.has_root = true, d.uses = {"sdb2 is mounted at /"}; }, "4C53", Code::kUnavailable, "holds the root of the running system (sdb2 is mounted at /)"},
      {"in use", [](device::BlockUse& d) { d.uses = {"sdb1 is mounted at /mnt", "sdb2 is a part of dm-0"}; }, "4C53", Code::kUnavailable, "sdb1 is mounted at /mnt; sdb2 is a part of dm-0"},
      {"read-only", [](device::BlockUse& d) { d.read_only = true; }, "4C53", Code::kInvalid, "is read-only"},
      {"small", [](device::BlockUse& d) { d.bytes = 999'999; }, "4C53", Code::kInvalid, "has 999999 bytes, the image 1000000"},
      {"unconfirmed", [](device::BlockUse&) {}, std::nullopt, Code::kDenied, "Ultra?[2J, serial 4C53, 16.0 GB (16000000000 bytes), removable. All that is on it would be lost. If it is the one, say so with -yes 4C53"},
      {"another", [](device::BlockUse&) {}, "4C54", Code::kDenied, "another device than the one you mean"},
      {"no serial", [](device::BlockUse& d) { d.serial.clear(); }, "4C53", Code::kDenied, "-yes 16000000000"},
  };
  for (const Row& row : rows) {
    device::BlockUse device = stick();
    row.change(device);
    const auto checked = check_target(device, Bytes{1'000'000}, row.yes);
    ASSERT_FALSE(checked.ok()) << row.what;
    EXPECT_EQ(checked.error().code(), row.code) << row.what;
    EXPECT_TRUE(checked.error().message().contains(row.says)) << checked.error().message();
  }
  EXPECT_TRUE(check_target(stick(), Bytes{1'000'000}, "4C53").ok());
  device::BlockUse plain = stick();
  plain.serial.clear();
  EXPECT_TRUE(check_target(plain, Bytes{16'000'000'000}, "16000000000").ok());
}

TEST(CheckDiskImage, WhatGoesOnADevice) {
  std::string disk(4096, '\0');
  disk.replace(512, 8, "EFI PART");
  EXPECT_TRUE(check_disk_image(as_bytes(disk), Bytes::mib(64)).ok());
  EXPECT_FALSE(check_disk_image(as_bytes(disk), Bytes{4096}).ok());
  for (const auto& [head, says] : {std::pair<std::string_view, std::string_view>{"QFI\xfb", "a qcow2"}, {"MZ", "the image alone"}, {"", "no partition table"}}) {
    const auto checked = check_disk_image(as_bytes(head), Bytes::mib(64));
    ASSERT_FALSE(checked.ok());
    EXPECT_TRUE(checked.error().message().contains(says)) << checked.error().message();
  }
}

}  // namespace
}  // namespace steppe::disk
