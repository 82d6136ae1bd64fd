#include "init/sys/fat/mounted_directory.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace steppe::fat {
namespace {

class Mounted : public testing::Test {
 protected:
  void SetUp() override {
    path_ = std::filesystem::path(testing::TempDir()) / ("fat" + std::to_string(getpid()));
    std::filesystem::create_directories(path_ / "sub");
    std::filesystem::create_symlink("/etc/hostname", path_ / "link");
    Result<MountedDirectory> opened = MountedDirectory::open(path_.string(), {});
    ASSERT_TRUE(opened.ok()) << opened.error().message();
    directory_.emplace(*std::move(opened));
  }
  void TearDown() override { std::filesystem::remove_all(path_); }
  std::string text(const std::string& name) {
    std::string bytes(64, '\0');
    Result<size_t> got = directory_->read(name, 0, std::as_writable_bytes(std::span(bytes)));
    return got.ok() ? bytes.substr(0, *got) : std::string(code_name(got.error().code()));
  }
  std::filesystem::path path_;
  std::optional<MountedDirectory> directory_;
};

TEST_F(Mounted, DoesWhatTheSlotsNeed) {
  MountedDirectory& directory = *directory_;
  ASSERT_TRUE(directory.create("a.part").ok());
  EXPECT_EQ(directory.create("a.part").error().code(), Code::kExists);
  ASSERT_TRUE(directory.append("a.part", as_bytes("hello ")).ok());
  ASSERT_TRUE(directory.append("a.part", as_bytes("world")).ok());
  ASSERT_TRUE(directory.overwrite("a.part", 6, as_bytes("WORLD")).ok());
  EXPECT_EQ(directory.overwrite("a.part", 7, as_bytes("WORLD")).error().code(), Code::kInvalid);
  ASSERT_TRUE(directory.sync_file("a.part").ok());
  ASSERT_TRUE(directory.drop_caches("a.part").ok());
  EXPECT_EQ(text("a.part"), "hello WORLD");
  ASSERT_TRUE(directory.rename("a.part", "a").ok());
  ASSERT_TRUE(directory.create("b").ok());
  EXPECT_EQ(directory.rename("a", "b").error().code(), Code::kExists);
  ASSERT_TRUE(directory.sync_directory().ok());
  Result<std::vector<upgrade::DirectoryEntry>> list = directory.list();
  ASSERT_TRUE(list.ok());
  ASSERT_EQ(list->size(), 2u);  // neither the directory nor the link
  EXPECT_EQ((*list)[0].name, "a");
  EXPECT_EQ((*list)[0].size, 11u);
  ASSERT_TRUE(directory.remove("a").ok());
  EXPECT_EQ(text("a"), "not found");
  EXPECT_GT(directory.space()->total_bytes, 0u);
  EXPECT_EQ(directory.forget("b").error().code(), Code::kUnsupported);
}

TEST_F(Mounted, TouchesNothingElse) {
  for (const char* name : {"", ".", "..", "sub/x", "/etc/passwd"}) EXPECT_EQ(directory_->create(name).error().code(), Code::kInvalid) << name;
  EXPECT_FALSE(directory_->append("link", as_bytes("x")).ok());
  EXPECT_FALSE(directory_->append("sub", as_bytes("x")).ok());
  EXPECT_FALSE(directory_->remove("link").ok());
  EXPECT_FALSE(MountedDirectory::open((path_ / "none").string(), {}).ok());
}

}  // namespace
}  // namespace steppe::fat
