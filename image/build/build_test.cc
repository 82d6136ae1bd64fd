#include <gtest/gtest.h>

#include "image/build/package_list.h"
#include "image/sign/key.h"

namespace steppe::build {
namespace {

const std::string kDigest(64, 'a');

spec::Lock small_lock() {
  return {.packages = {{spec::Role::kKernel, "linux-image-6", "6.12-1", "amd64", std::string(64, '1')},
                       {spec::Role::kRoot, "ca-certificates", "2025", "all", std::string(64, '2')},
                       {spec::Role::kRoot, "libc6", "1:2.41-12+deb13u4", "amd64", std::string(64, '3')}},
          .asked = {}};
}

TEST(PackageList, KnowsWhereFilesCameFrom) {
  spec::Spec spec;
  spec.bundles = {{.path = "/etc/ssl/all.crt", .package = "ca-certificates", .files = {}}};
  PartsList list(spec, small_lock());
  fs::Tree libc, root;
  ASSERT_TRUE(libc.add_file("usr/lib/libc.so.6", "libc").ok());
  list.own(2, libc);
  ASSERT_TRUE(root.add("lib/moved.so", *libc.find("usr/lib/libc.so.6")).ok());
  ASSERT_TRUE(root.add_file("usr/lib/copy.so", "libc").ok());  // the same bytes from elsewhere
  ASSERT_TRUE(root.add_file("usr/lib/modules/6/kernel/loop.ko", "module").ok());
  ASSERT_TRUE(root.add_file("etc/ssl/all.crt", "certificates").ok());
  ASSERT_TRUE(root.add_file("usr/share/steppe/task-root.sqfs", "listed itself").ok());
  ASSERT_TRUE(root.add_symlink("lib64", "lib").ok());
  list.add("./root/", root);
  list.add_file("./linux", fs::make_content("kernel"), spec::Role::kKernel);
  std::map<std::string, std::optional<size_t>> found;
  for (const ListedFile& file : list.parts().files) found[file.path] = file.package;
  const std::map<std::string, std::optional<size_t>> expected = {{"./linux", 0},
                                                                 {"./root/etc/ssl/all.crt", 1},
                                                                 {"./root/lib/moved.so", 2},
                                                                 {"./root/usr/lib/copy.so", std::nullopt},
                                                                 {"./root/usr/lib/modules/6/kernel/loop.ko", 0}};
  EXPECT_EQ(found, expected);
}

TEST(PackageList, PackageUrls) {
  const spec::Lock lock = small_lock();
  EXPECT_EQ(package_url(lock.packages[2]), "pkg:deb/debian/libc6@1%3A2.41-12%2Bdeb13u4?arch=amd64");
  EXPECT_EQ(package_url(lock.packages[1]), "pkg:deb/debian/ca-certificates@2025?arch=all");
}

// Digests are those of `printf TEXT | sha1sum` and `sha256sum`.
TEST(PackageList, Document) {
  spec::Spec spec;
  spec.image.version = "1.2.3";
  spec.image.date_s = 1'763'683'200;
  ImageParts parts{.packages = {small_lock().packages[0]},
                   .files = {{"./linux", fs::make_content("abc"), 0}, {"./root/empty", nullptr, std::nullopt}}};
  const std::string text = spdx_document(spec, "steppe-1.2.3-amd64.efi", kDigest, parts);
  const auto has = [&](std::string_view part) { return text.contains(part); };
  EXPECT_TRUE(has("\"spdxVersion\": \"SPDX-2.3\""));
  EXPECT_TRUE(has("\"created\": \"2025-11-21T00:00:00Z\""));
  EXPECT_TRUE(
      has("\"documentNamespace\": "
          "\"urn:uuid:aaaaaaaa-aaaa-8aaa-aaaa-aaaaaaaaaaaa\""));
  EXPECT_TRUE(has("\"checksumValue\": \"a9993e364706816aba3e25717850c26c9cd0d89d\""));
  EXPECT_TRUE(
      has("\"checksumValue\": "
          "\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\""));
  EXPECT_TRUE(has("\"checksumValue\": \"da39a3ee5e6b4b0d3255bfef95601890afd80709\""));
  // Over both SHA-1 in their order, the one of "abc" first.
  EXPECT_TRUE(has("\"packageVerificationCodeValue\": \"" +
                  sign::sha1_hex(as_bytes(std::string("a9993e364706816aba3e25717850c26c9cd0d89d"
                                                      "da39a3ee5e6b4b0d3255bfef95601890afd80709"))) +
                  "\""));
  EXPECT_TRUE(has("\"relationshipType\": \"GENERATED_FROM\""));
  EXPECT_EQ(text, spdx_document(spec, "steppe-1.2.3-amd64.efi", kDigest, parts));
  std::swap(parts.files[0].content, parts.files[1].content);
  EXPECT_NE(text, spdx_document(spec, "steppe-1.2.3-amd64.efi", kDigest, parts));
}

}  // namespace
}  // namespace steppe::build
