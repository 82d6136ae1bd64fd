#include <gtest/gtest.h>

#include "image/disk/layout.h"

namespace steppe::disk {
namespace {

const std::string kSeed = "0123456789abcdefghijklmnopqrstuv";

TEST(Layout, FollowsFromSizeAndSeed) {
  auto layout = make_layout(Bytes{Bytes::mib(512).count - 5}, Bytes::mib(30), kSeed);
  ASSERT_TRUE(layout.ok());
  EXPECT_EQ(layout->size, Bytes::mib(512));
  EXPECT_EQ(layout->esp_size, Bytes::mib(510));
  EXPECT_EQ(layout->disk_id, "30313233-3435-8637-b839-616263646566");
  EXPECT_NE(layout->disk_id, layout->esp_id);
  EXPECT_EQ(sfdisk_script(*layout), sfdisk_script(*make_layout(Bytes::mib(512), Bytes::mib(30), kSeed)));
  EXPECT_NE(sfdisk_script(*layout).find("start=2048, size=1044480, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B"),
            std::string::npos);
}

TEST(Layout, AFileSystemOfItsOwn) {
  auto made = make_file_system(Bytes::mib(34), kSeed);
  ASSERT_TRUE(made.ok());
  EXPECT_EQ(made->size, Bytes::mib(36));
  EXPECT_EQ(made->id, "38396162-6364-8566-a768-696a6b6c6d6e");
  EXPECT_EQ(made->serial, 0x37363534u);
  EXPECT_FALSE(make_file_system(Bytes::mib(1), "short").ok());
}

TEST(Layout, RefusesWhatDoesNotFit) {
  EXPECT_EQ(make_layout(Bytes::mib(60), Bytes::mib(1), kSeed).error().code(), Code::kInvalid);
  EXPECT_EQ(make_layout(Bytes::mib(100), Bytes::mib(98), kSeed).error().code(), Code::kInvalid);
  EXPECT_FALSE(make_layout(Bytes::mib(100), Bytes::mib(9), "short").ok());
}

}  // namespace
}  // namespace steppe::disk
