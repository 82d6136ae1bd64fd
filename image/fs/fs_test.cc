#include <gtest/gtest.h>

#include "image/fs/compression.h"
#include "image/fs/cpio.h"
#include "image/fs/tar.h"
#include "image/fs/tree.h"

namespace steppe::fs {
namespace {

Tree sample(bool backwards) {
  std::vector<std::pair<std::string, std::string>> files = {{"init",
                                                             "\x7f"
                                                             "ELF"},
                                                            {"etc/os-release", "ID=steppe\n"},
                                                            {"modules/a.ko", std::string(1000, 'm')}};
  if (backwards) std::reverse(files.begin(), files.end());
  Tree tree;
  for (auto& [path, content] : files) EXPECT_TRUE(tree.add_file(path, content, 0755).ok());
  EXPECT_TRUE(tree.add_symlink("lib", "usr/lib").ok());
  EXPECT_TRUE(tree.add_directory("usr/lib").ok());
  EXPECT_TRUE(tree.add_file("usr/" + std::string(120, 'n'), "long").ok());
  EXPECT_TRUE(tree.add_symlink("usr/far", std::string(150, 't')).ok());
  return tree;
}

bool equal(const Tree& a, const Tree& b) {
  if (a.nodes().size() != b.nodes().size()) return false;
  for (const auto& [path, node] : a.nodes()) {
    const Node* other = b.find(path);
    if (!other || other->kind != node.kind || other->bytes() != node.bytes() || other->target != node.target)
      return false;
    if (other->mode != node.mode || other->uid != node.uid) return false;
  }
  return true;
}

TEST(Tree, RefusesPathsThatLeaveOrCollide) {
  Tree tree;
  EXPECT_TRUE(tree.add_file("/a/b", "1").ok());
  for (const char* path : {"../x", "a/../../x", "a//c", "a/b/c", "a/b", "a/./c"})
    EXPECT_FALSE(tree.add_file(path, "2").ok()) << path;
  EXPECT_EQ(tree.add_file("a/b", "2").error().code(), Code::kExists);
  EXPECT_EQ(tree.find("a")->kind, NodeKind::kDirectory);
  EXPECT_FALSE(tree.add_directory("a/b").ok());
  EXPECT_FALSE(tree.replace("a", Node{}).ok());
  EXPECT_TRUE(tree.replace("a/b", Node{.content = make_content("3")}).ok());
  EXPECT_EQ(tree.find("a/b")->bytes(), "3");
  tree.remove("a");
  EXPECT_TRUE(tree.nodes().empty());
}

TEST(Tree, FollowsLinksInside) {
  Tree tree;
  ASSERT_TRUE(tree.add_file("usr/lib/x/libc.so.6", "elf").ok());
  ASSERT_TRUE(tree.add_symlink("lib64", "usr/lib64").ok());
  ASSERT_TRUE(tree.add_symlink("usr/lib64/ld.so", "../lib/x/libc.so.6").ok());
  ASSERT_TRUE(tree.add_symlink("loop", "loop").ok());
  auto found = tree.resolve("/lib64/ld.so");
  ASSERT_TRUE(found.ok()) << found.error().message();
  EXPECT_EQ((*found)->bytes(), "elf");
  EXPECT_FALSE(tree.resolve("loop").ok());
  EXPECT_EQ(tree.resolve("usr/none").error().code(), Code::kNotFound);
}

TEST(Cpio, IsTheSameWhateverTheOrderOfFilling) {
  auto a = write_cpio(sample(false), 1000), b = write_cpio(sample(true), 1000), later = write_cpio(sample(false), 1001);
  ASSERT_TRUE(a.ok());
  EXPECT_EQ(*a, *b);
  EXPECT_NE(*a, *later);
  EXPECT_EQ(a->size() % 4, 0u);
}

TEST(Cpio, ReadsWhatItWrote) {
  const Tree tree = sample(false);
  const std::string plain = *write_cpio(tree, 1);
  auto back = read_cpio(as_bytes(plain), Bytes::mib(1));
  ASSERT_TRUE(back.ok()) << back.error().message();
  EXPECT_TRUE(equal(tree, *back));
}

TEST(Cpio, ReadsACompressedArchiveBeforeAPlainOne) {
  Tree second;
  ASSERT_TRUE(second.add_file("root.sqfs", std::string(5000, 'r')).ok());
  std::string bytes = *zstd(as_bytes(*write_cpio(sample(false), 1)), 3);
  bytes.append((4 - bytes.size() % 4) % 4, '\0');
  bytes += *write_cpio(second, 1);
  auto back = read_cpio(as_bytes(bytes), Bytes::mib(1));
  ASSERT_TRUE(back.ok()) << back.error().message();
  EXPECT_EQ(back->find("root.sqfs")->bytes().size(), 5000u);
  EXPECT_NE(back->find("init"), nullptr);
  EXPECT_EQ(read_cpio(as_bytes(bytes), Bytes{4000}).error().code(), Code::kExhausted);
}

TEST(Cpio, CutAnywhereNeverReadsPastItsEnd) {
  const std::string plain = *write_cpio(sample(false), 1);
  for (size_t size = 0; size < plain.size(); size += 7) {
    std::string cut = plain.substr(0, size);
    cut.shrink_to_fit();
    auto back = read_cpio(as_bytes(cut), Bytes::mib(1));
    if (back.ok()) {
      EXPECT_LE(back->nodes().size(), sample(false).nodes().size());
    }
  }
}

TEST(Tar, ReadsWhatItWrote) {
  const Tree tree = sample(true);
  const std::string bytes = *write_tar(tree, 7);
  EXPECT_EQ(bytes, *write_tar(sample(false), 7));
  auto back = read_tar(as_bytes(bytes), Bytes::mib(1));
  ASSERT_TRUE(back.ok()) << back.error().message();
  EXPECT_TRUE(equal(tree, *back));
}

TEST(Tar, SeesDamage) {
  std::string bytes = *write_tar(sample(false), 7);
  bytes[3] ^= 1;
  EXPECT_EQ(read_tar(as_bytes(bytes), Bytes::mib(1)).error().code(), Code::kCorrupt);
  bytes[3] ^= 1;
  EXPECT_FALSE(read_tar(as_bytes(bytes.substr(0, 1500)), Bytes::mib(1)).ok());
  EXPECT_EQ(read_tar(as_bytes(bytes), Bytes{100}).error().code(), Code::kExhausted);
}

TEST(Compression, ThereAndBack) {
  const std::string text(100'000, 'x');
  const std::string small = *zstd(as_bytes(text), 3);
  EXPECT_EQ(small, *zstd(as_bytes(text), 3));
  size_t used = 0;
  EXPECT_EQ(*unzstd(as_bytes(small + "rest"), Bytes::mib(1), &used), text);
  EXPECT_EQ(used, small.size());
  EXPECT_EQ(unzstd(as_bytes(small), Bytes{10}, &used).error().code(), Code::kExhausted);
  EXPECT_EQ(unzstd(as_bytes(small.substr(0, small.size() - 5)), Bytes::mib(1), &used).error().code(), Code::kCorrupt);
  EXPECT_EQ(unxz(as_bytes("no xz file at all"), Bytes::mib(1)).error().code(), Code::kCorrupt);
}

}  // namespace
}  // namespace steppe::fs
