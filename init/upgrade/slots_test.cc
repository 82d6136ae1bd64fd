#include "init/upgrade/slots.h"

#include <gtest/gtest.h>

#include "init/upgrade/version.h"

namespace steppe::upgrade {
namespace {

// In rising order; equal ones in one row. The first line is the specification's own example.
TEST(Version, SortsAsTheSpecificationSays) {
  const std::vector<std::vector<const char*>> order = {
      {"~"}, {"~~"}, {"~1"}, {"", "_", "é"}, {"-"}, {"0", "00"},
      {"1~"}, {"1~~"}, {"1~rc1", "1_~rc1"}, {"1~rc2"}, {"1~rc10"}, {"1", "01", "0001"}, {"1-1"}, {"1-2"}, {"1-10"}, {"1^"}, {"1^2"},
      {"1."}, {"1.0"}, {"1.1"}, {"1.2"}, {"1.10"}, {"1.10a"}, {"1A"}, {"1a"}, {"1ab"}, {"1b"}, {"2"}, {"12"},
      {"122.1"}, {"123~rc1-1"}, {"123"}, {"123-a"}, {"123-a.1"}, {"123-1"}, {"123-1.1"}, {"123^post1"}, {"123.a-1"}, {"123.1-1"}, {"123a-1"}, {"124-1"},
      {"99999999999999999999999998"}, {"99999999999999999999999999"}};
  for (size_t i = 0; i < order.size(); i++)
    for (size_t j = 0; j < order.size(); j++)
      for (const char* a : order[i])
        for (const char* b : order[j])
          EXPECT_TRUE(compare_versions(a, b) == (i <=> j)) << "\"" << a << "\" against \"" << b << "\"";
}

TEST(SlotName, ReadsExactlyItsOwnForm) {
  struct Case {
    const char* text;
    std::optional<SlotName> name;
  };
  const Case cases[] = {
      {"steppe-1.2.3.efi", SlotName{"1.2.3", std::nullopt}},
      {"steppe-1.2.3+3.efi", SlotName{"1.2.3", Counter{3, 0}}},
      {"steppe-1.2.3+2-1.efi", SlotName{"1.2.3", Counter{2, 1}}},
      {"steppe-1+0-3.efi", SlotName{"1", Counter{0, 3}}},
      {"steppe-1+0-0.efi", SlotName{"1", Counter{0, 0}}},
      {"steppe-1+0002-0001.efi", SlotName{"1", Counter{2, 1}}},  // padded counters (UAPI.1 of 2026)
      {"STEPPE-1~RC1+3.EFI", SlotName{"1~rc1", Counter{3, 0}}},   // as short names may come back
      {"steppe-1^a-2.efi", SlotName{"1^a-2", std::nullopt}},
      {"steppe-.efi", std::nullopt},
      {"steppe--1.efi", std::nullopt},
      {"steppe-1+.efi", std::nullopt},
      {"steppe-1+3-.efi", std::nullopt},
      {"steppe-1+-1.efi", std::nullopt},
      {"steppe-1+3-1-1.efi", std::nullopt},
      {"steppe-1+3+2.efi", std::nullopt},
      {"steppe-1+3a.efi", std::nullopt},
      {"steppe-1+12345.efi", std::nullopt},
      {"steppe-1+3 .efi", std::nullopt},
      {"steppe-1/../2.efi", std::nullopt},
      {"steppe-1.efi.part", std::nullopt},
      {"steppe-1", std::nullopt},
      {"steppe.efi", std::nullopt},
      {"other-1.efi", std::nullopt},
      {"", std::nullopt},
  };
  for (const Case& c : cases) EXPECT_EQ(parse_slot_name(c.text), c.name) << c.text;
  EXPECT_TRUE(parse_slot_name("steppe-" + std::string(64, '1') + ".efi"));
  EXPECT_FALSE(parse_slot_name("steppe-" + std::string(65, '1') + ".efi"));
  for (const char* same : {"steppe-1.efi", "steppe-1+3.efi", "steppe-1+2-1.efi", "steppe-1+0-0.efi", "steppe-1+0-3.efi"})
    EXPECT_EQ(slot_file_name(*parse_slot_name(same)), same);
  EXPECT_TRUE(is_part_name("steppe-1.2.efi.part"));
  EXPECT_FALSE(is_part_name("steppe-1.2.efi"));
  for (const char* wrong : {"", "A", "1 2", "1+2", "-1", "1/2", "\xc3\xa9"}) EXPECT_FALSE(check_version(wrong).ok()) << wrong;
}

TEST(SlotName, ReadsWhatBothLoadersSay) {
  EXPECT_EQ(parse_loader_value("steppe-2+3.efi")->version, "2");          // 252
  EXPECT_EQ(parse_loader_value("steppe-2.efi")->version, "2");            // 257
  EXPECT_EQ(parse_loader_value(std::string("steppe-2.efi\0", 13))->version, "2");
  EXPECT_EQ(parse_loader_value("\\EFI\\Linux\\steppe-2+2-1.efi")->counter, (Counter{2, 1}));
  EXPECT_EQ(parse_loader_value("\\efi\\linux\\STEPPE-2+2-1.EFI")->counter, (Counter{2, 1}));
  for (const char* other : {"\\EFI\\BOOT\\steppe-2.efi", "auto-windows", "\\EFI\\Linux\\", "\\", ""}) EXPECT_FALSE(parse_loader_value(other)) << other;
}

Manifest manifest_of(const std::string& version) { return {.version = version, .arch = "x86-64", .kernel = "6.12.1"}; }
SlotFile file(const std::string& name, const std::string& version) { return {.name = name, .size = 10, .manifest = manifest_of(version)}; }

TEST(LoaderOrder, IsTheLoaders) {
  std::vector<SlotFile> files = {file("steppe-2+0-3.efi", "2"), file("steppe-1.efi", "1"), file("steppe-1.10+3.efi", "1.10"),
                                 file("steppe-1.9.efi", "1.9"), file("steppe-0+0-0.efi", "0"), {.name = "steppe-9.efi", .size = 3},
                                 file("other.efi", "7")};
  std::vector<std::string> names;
  for (size_t i : loader_order(files)) names.push_back(files[i].name);
  EXPECT_EQ(names, (std::vector<std::string>{"steppe-1.10+3.efi", "steppe-1.9.efi", "steppe-1.efi", "steppe-2+0-3.efi", "steppe-0+0-0.efi"}));
}

TEST(Manifest, ReadsBackWhatWasWritten) {
  Manifest manifest = manifest_of("1.2~rc1");
  manifest.security_version = 7;
  manifest.built_unix_s = 1'800'000'000;
  manifest.build_id.fill(std::byte{9});
  manifest.extensions = {{"amdgpu", sha256(as_bytes("a")), 100}, {"nvidia", sha256(as_bytes("b")), 1}};
  manifest.task_root = Extension{"task-root", sha256(as_bytes("c")), 5};
  std::string bytes = *encode_manifest(manifest);
  EXPECT_EQ(*decode_manifest(as_bytes(bytes)), manifest);
  EXPECT_EQ(*decode_manifest(as_bytes(bytes + std::string(300, '\0'))), manifest);  // a padded section
  EXPECT_EQ(decode_manifest(as_bytes(bytes + "x")).error().code(), Code::kCorrupt);
  for (size_t i = 0; i < bytes.size(); i++) {
    EXPECT_FALSE(decode_manifest(as_bytes(bytes).first(i)).ok()) << i;
    std::string flipped = bytes;
    flipped[i] = static_cast<char>(flipped[i] ^ 4);
    EXPECT_FALSE(decode_manifest(as_bytes(flipped)).ok()) << i;
  }
}

TEST(Manifest, RefusesWhatNoImageMaySay) {
  std::vector<Manifest> wrong(6, manifest_of("1"));
  wrong[0].version = "A";
  wrong[1].arch = "mips";
  wrong[2].kernel = "../6.12";
  wrong[3].extensions = {{"b", {}, 1}, {"a", {}, 1}};
  wrong[4].extensions = {{"../a", {}, 1}};
  for (int i = 0; i < 33; i++) wrong[5].extensions.push_back({"e" + std::to_string(100 + i), {}, 1});
  for (const Manifest& manifest : wrong) EXPECT_FALSE(encode_manifest(manifest).ok());
}

// Bytes of version 1: what is written today must be read by every later build, and by the one before.
TEST(Formats, AreTheOnesThatWereShipped) {
  Manifest manifest = manifest_of("1.2.3");
  manifest.extensions = {{"gpu", {}, 100}};
  std::string image =
      "5354463128000100cc0000000a781b420100000005000000312e322e3302000000060000007838362d363403000000080000000000000000"
      "0000000400000006000000362e31322e31050000002000000000000000000000000000000000000000000000000000000000000000000000"
      "00060000005300000053544631290001004300000099ade2b601000000030000006770750200000020000000000000000000000000000000"
      "00000000000000000000000000000000000000000300000008000000640000000000000008000000080000000000000000000000";
  EXPECT_EQ(hex(as_bytes(*encode_manifest(manifest))), image);
  EXPECT_EQ(*decode_manifest(as_bytes(*unhex(image))), manifest);
  Record record{.generation = 5, .security_floor = 2};
  record.refuse(sha256(as_bytes("bad")));
  std::string kept =
      "535446312a00010048000000140e51410100000008000000050000000000000002000000080000000200000000000000"
      "03000000200000002f05d4b689d270cafb02285f35f44866f7dc8a2d368a3f9d1124373eeab31fb1";
  std::string bytes = encode_record(record);
  EXPECT_EQ(hex(as_bytes(bytes).first(88)), kept);
  EXPECT_EQ(bytes.find_first_not_of('\0', 88), bytes.npos);
  EXPECT_EQ(*decode_record(as_bytes(*unhex(kept))), record);
}

TEST(Record, KeepsTheNewestRefusals) {
  Record record{.generation = 3, .security_floor = 9};
  for (int i = 0; i < 40; i++) record.refuse(sha256(as_bytes(std::to_string(i))));
  record.refuse(sha256(as_bytes("39")));
  EXPECT_EQ(record.refused.size(), kMaxRefused);
  EXPECT_FALSE(record.refuses(sha256(as_bytes("7"))));
  EXPECT_TRUE(record.refuses(sha256(as_bytes("8"))));
  record.trial = CountedTrial{sha256(as_bytes("t")), 2};
  std::string bytes = encode_record(record);
  EXPECT_EQ(bytes.size(), kRecordSize);
  EXPECT_EQ(*decode_record(as_bytes(bytes)), record);
  bytes[100] = static_cast<char>(bytes[100] ^ 1);
  EXPECT_FALSE(decode_record(as_bytes(bytes)).ok());
}

}  // namespace
}  // namespace steppe::upgrade
