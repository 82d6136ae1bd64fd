#include <gtest/gtest.h>

#include "init/frame/frame.h"
#include "init/upgrade/extension/record.h"

namespace steppe::extension {
namespace {

Record good_record() {
  Record record{.name = "nic", .version = "20250410-2", .arch = "x86-64", .holds = kModules | kFirmware, .kernel = "6.12.107+deb13-amd64"};
  record.built_unix_s = 1'700'000'000;
  record.data_size = 300 * kBlock;
  record.root.fill(std::byte{7});
  record.salt = std::string(32, 's');
  return record;
}

TEST(HashTree, HasAsManyBlocksAsTheKernelReads) {
  const std::pair<uint64_t, uint64_t> cases[] = {{1, 0}, {2, 1}, {128, 1}, {129, 3}, {16384, 129}, {16385, 132}, {2048, 17}, {262144, 2048 + 16 + 1}};
  for (const auto& [data, tree] : cases) EXPECT_EQ(tree_blocks(data), tree) << data;
}

// Roots that cryptsetup's own test (tests/verity-compat-test) expects of 8 MiB of zeros.
TEST(HashTree, HasTheRootThatVeritysetupFinds) {
  const std::string zeros(8 << 20, '\0');
  auto salted = make_tree(as_bytes(zeros), as_bytes(*unhex("e48da609055204e89ae53b655ca2216dd983cf3cb829f34f63a297d106d53e2d")));
  ASSERT_TRUE(salted.ok());
  EXPECT_EQ(hex(salted->root), "e522df0f97da4febb882ac40f30b37dc0b444bf6df418929463fa25280f09d5c");
  EXPECT_EQ(salted->bytes.size(), 17 * kBlock);
  auto plain = make_tree(as_bytes(zeros), {});
  ASSERT_TRUE(plain.ok());
  EXPECT_EQ(hex(plain->root), "ef29c902d87350f1da4bfa536e16cebc162a909bf89abe448b81ec500d4fb9bf");
}

TEST(HashTree, IsLaidOutFromTheRootDown) {
  std::string data(200 * kBlock, '\0');
  for (size_t i = 0; i < 200; ++i) data[i * kBlock] = static_cast<char>(i);
  auto tree = make_tree(as_bytes(data), as_bytes("salt"));
  ASSERT_TRUE(tree.ok());
  ASSERT_EQ(tree->bytes.size(), 3 * kBlock);
  const auto digest = [&](std::string_view block) {
    const Digest one = upgrade::sha256(as_bytes("salt" + std::string(block)));
    return std::string(as_text(one));
  };
  const auto block = [](const std::string& bytes, size_t i) { return std::string_view(bytes).substr(i * kBlock, kBlock); };
  EXPECT_EQ(as_text(tree->root), digest(block(tree->bytes, 0)));
  EXPECT_EQ(tree->bytes.substr(0, 64), digest(block(tree->bytes, 1)) + digest(block(tree->bytes, 2)));
  EXPECT_EQ(tree->bytes.substr(64, kBlock - 64), std::string(kBlock - 64, '\0'));
  EXPECT_EQ(tree->bytes.substr(kBlock + 5 * 32, 32), digest(block(data, 5)));
  EXPECT_EQ(tree->bytes.substr(2 * kBlock + 71 * 32, 32), digest(block(data, 199)));
  for (size_t at : {size_t{0}, 128 * kBlock, data.size() - 1}) {
    std::string changed = data;
    changed[at] ^= 1;
    EXPECT_NE(make_tree(as_bytes(changed), as_bytes("salt"))->root, tree->root) << at;
  }
  EXPECT_EQ(as_text(make_tree(as_bytes(data).first(kBlock), {})->root), as_text(upgrade::sha256(as_bytes(data).first(kBlock))));
  EXPECT_FALSE(make_tree({}, {}).ok());
  EXPECT_FALSE(make_tree(as_bytes(data).first(kBlock + 1), {}).ok());
  EXPECT_FALSE(make_tree(as_bytes(data), as_bytes(std::string(257, 's'))).ok());
}

TEST(ExtensionRecord, ComesBackAsItWasWritten) {
  for (const std::string& signature : {std::string(), std::string(1500, 'p')}) {
    auto frame = encode_record(good_record());
    ASSERT_TRUE(frame.ok()) << frame.error().message();
    auto header = encode_header(*frame, signature);
    ASSERT_TRUE(header.ok());
    ASSERT_EQ(header->size(), kHeaderSize);
    EXPECT_TRUE(looks_like_extension(as_bytes(*header)));
    auto read = decode_header(as_bytes(*header));
    ASSERT_TRUE(read.ok()) << read.error().message();
    EXPECT_EQ(read->record, good_record());
    EXPECT_EQ(read->signature, signature);
    EXPECT_EQ(read->digest, upgrade::sha256(as_bytes(*frame)));
  }
  EXPECT_EQ(file_size(good_record()), kHeaderSize + (300 + 3 + 1) * kBlock);
  EXPECT_EQ(holds_text(good_record().holds), "modules, firmware");
}

TEST(ExtensionRecord, RefusesWhatItDoesNotMean) {
  struct Case {
    const char* what;
    void (*change)(Record&);
  };
  const Case cases[] = {
      {"name", [](Record& r) { r.name = "../x"; }},
      {"no name", [](Record& r) { r.name = ""; }},
      {"version", [](Record& r) { r.version = "1\n2"; }},
      {"arch", [](Record& r) { r.arch = "mips"; }},
      {"holds nothing", [](Record& r) { r.holds = 0; }},
      {"holds something new", [](Record& r) { r.holds = kModules | 64; }},
      {"modules for no kernel", [](Record& r) { r.kernel = ""; }},
      {"a kernel and no modules", [](Record& r) { r.holds = kFirmware; }},
      {"a kernel elsewhere", [](Record& r) { r.kernel = "../6.12"; }},
      {"size", [](Record& r) { r.data_size = 4095; }},
      {"no size", [](Record& r) { r.data_size = 0; }},
      {"too big", [](Record& r) { r.data_size = kMaxData + kBlock; }},
      {"salt", [](Record& r) { r.salt = std::string(33, 's'); }},
  };
  for (const Case& one : cases) {
    Record record = good_record();
    one.change(record);
    EXPECT_FALSE(encode_record(record).ok()) << one.what;
  }
}

TEST(ExtensionRecord, DamageIsFoundAndNamed) {
  const std::string header = *encode_header(*encode_record(good_record()), std::string(700, 'p'));
  const auto code = [](std::string bytes) { return decode_header(as_bytes(bytes)).error().code(); };
  EXPECT_EQ(code(header.substr(0, kHeaderSize - 1)), Code::kInvalid);
  EXPECT_EQ(code(std::string(kHeaderSize, '\0')), Code::kInvalid);
  EXPECT_EQ(code("hsqs" + std::string(kHeaderSize, '\0')), Code::kInvalid);
  // Every byte of both frames counts, and every byte behind them is zero.
  for (size_t at = 0; at < kHeaderSize; at += at < 1200 ? 1 : 97) {
    std::string changed = header;
    changed[at] = static_cast<char>(changed[at] + 1);
    EXPECT_FALSE(decode_header(as_bytes(changed)).ok()) << at;
  }
  // Sizes that a hash tree cannot have, in a frame that is whole.
  frame::Builder builder(frame::kExtensionRecord, 1);
  builder.text(1, "nic").text(2, "1").text(3, "any").integer(4, kFiles).integer(6, 0).integer(7, 4096).integer(8, 4096).integer(9, 4096);
  std::string odd = builder.bytes(10, Digest{}).text(11, "s").text(12, "squashfs").finish();
  auto found = decode_header(as_bytes(*encode_header(odd, "")));
  EXPECT_EQ(found.error().message(), "extension's header: its hash tree has another size than its data asks for");
  frame::Builder newer(frame::kExtensionRecord, 2);
  EXPECT_EQ(code(*encode_header(newer.text(1, "nic").finish(), "")), Code::kUnsupported);
}

TEST(ExtensionRecord, IsATargetOfTheDeviceMapper) {
  Record record = good_record();
  record.salt = "\x01\xff";
  EXPECT_EQ(verity_parameters(record, "7:3"), "1 7:3 7:3 4096 4096 300 300 sha256 " + hex(record.root) + " 01ff");
  record.salt.clear();
  EXPECT_TRUE(verity_parameters(record, "7:3").ends_with(" -"));
}

// The format of version 1 stays readable: this header was written by the first builder that made any.
TEST(ExtensionRecord, TheFirstFormatIsStillRead) {
  auto bytes = unhex(
#include "tests/data/extension_header_v1.inc"
  );
  ASSERT_TRUE(bytes.ok());
  bytes->resize(kHeaderSize, '\0');
  auto read = decode_header(as_bytes(*bytes));
  ASSERT_TRUE(read.ok()) << read.error().message();
  EXPECT_EQ(read->record, good_record());
}

}  // namespace
}  // namespace steppe::extension
