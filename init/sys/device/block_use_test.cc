#include "init/sys/device/block_use.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

namespace steppe::device {
namespace {

namespace fs = std::filesystem;

// A machine's sysfs and procfs as files: sda with the root on sda2 through dm-0; sdb with a mounted and a swap partition; sdc, free;
// sdd, a part of a btrfs whose mount has a number of its own.
class BlockUseTest : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::path(::testing::TempDir()) / ("block_use_" + std::string(::testing::UnitTest::GetInstance()->current_test_info()->name()));
    fs::remove_all(root_);
    disk("sda", "8:0", 1000);
    partition("sda", "sda1", "8:1");
    partition("sda", "sda2", "8:2");
    put("sys/class/block/sda2/holders/dm-0", "");
    put("sys/class/block/sda/sda2/holders/dm-0", "");
    disk("dm-0", "253:0", 900);
    disk("sdb", "8:16", 2000);
    partition("sdb", "sdb1", "8:17");
    partition("sdb", "sdb2", "8:18");
    disk("sdc", "8:32", 64);
    put("sys/class/block/sdc/removable", "1\n");
    put("sys/class/block/sdc/ro", "1\n");
    put("sys/class/block/sdc/device/model", "Stick   \n");
    put("sys/class/block/sdc/device/serial", "4C53\n");
    disk("sdd", "8:48", 64);
    put("proc/self/mountinfo",
        "22 1 253:0 / / rw - ext4 /dev/mapper/root rw\n23 22 8:1 / /boot rw - vfat /dev/sda1 rw\n24 22 8:17 / /mnt/a\\040b rw - ext4 /dev/sdb1 rw\n"
        "25 22 0:40 / /pool rw - btrfs /dev/sdd rw\n26 22 0:5 / /proc rw - proc proc rw\n");
    put("proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n/dev/sdb2                               partition\t1048572\t0\t-2\n");
  }
  void TearDown() override { fs::remove_all(root_); }

  void put(const std::string& path, const std::string& text) {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  void disk(const std::string& name, const std::string& number, int sectors) {
    put("sys/class/block/" + name + "/dev", number + "\n");
    put("sys/class/block/" + name + "/size", std::to_string(sectors) + "\n");
    put("sys/class/block/" + name + "/removable", "0\n");
  }
  void partition(const std::string& disk, const std::string& name, const std::string& number) {
    for (const std::string& at : {"sys/class/block/" + disk + "/" + name, "sys/class/block/" + name}) {
      put(at + "/partition", name.substr(disk.size()) + "\n");
      put(at + "/dev", number + "\n");
      put(at + "/size", "100\n");
      put(at + "/start", "8\n");
    }
  }
  Result<BlockUse> use(const std::string& name) { return block_use(name, root_.string() + "/"); }

  fs::path root_;
};

TEST_F(BlockUseTest, TheRootIsFoundThroughWhatIsMadeOfADisk) {
  const auto sda = use("sda");
  ASSERT_TRUE(sda.ok()) << sda.error().message();
  EXPECT_TRUE(sda->has_root);
  EXPECT_EQ(sda->uses, (std::vector<std::string>{"sda2 is a part of dm-0", "dm-0 is mounted at /", "sda1 is mounted at /boot"}));
  EXPECT_TRUE(use("sda2")->has_root);
  EXPECT_FALSE(use("sda1")->has_root);
}

TEST_F(BlockUseTest, MountsAndSwapOfPartitions) {
  const auto sdb = use("sdb");
  ASSERT_TRUE(sdb.ok());
  EXPECT_FALSE(sdb->has_root);
  EXPECT_EQ(sdb->uses, (std::vector<std::string>{"sdb1 is mounted at /mnt/a b", "sdb2 is swap"}));
  EXPECT_EQ(use("sdb2")->disk, "sdb");
  EXPECT_EQ(use("sdd")->uses, std::vector<std::string>{"sdd is mounted at /pool"});
}

TEST_F(BlockUseTest, AFreeOne) {
  const auto sdc = use("sdc");
  ASSERT_TRUE(sdc.ok());
  EXPECT_TRUE(sdc->uses.empty());
  EXPECT_TRUE(sdc->disk.empty());
  EXPECT_EQ(sdc->bytes, 64u * 512);
  EXPECT_TRUE(sdc->removable);
  EXPECT_TRUE(sdc->read_only);
  EXPECT_EQ(sdc->model, "Stick");
  EXPECT_EQ(sdc->serial, "4C53");
}

TEST_F(BlockUseTest, WhatIsNoDevice) {
  EXPECT_EQ(use("sdz").error().code(), Code::kNotFound);
  EXPECT_EQ(use("../sda").error().code(), Code::kNotFound);
  EXPECT_EQ(use("").error().code(), Code::kNotFound);
  EXPECT_EQ(block_name("/dev/null").error().code(), Code::kInvalid);
  EXPECT_EQ(block_name("/dev/no-such-device").error().code(), Code::kNotFound);
  // A mount table that cannot be read is no permission.
  fs::remove(root_ / "proc/self/mountinfo");
  EXPECT_FALSE(use("sdc").ok());
}

}  // namespace
}  // namespace steppe::device
