#include <gtest/gtest.h>

#include "image/uki/assemble.h"
#include "image/uki/pe.h"
#include "init/io/path_file.h"

namespace steppe::uki {
namespace {

std::string read(const char* path) {
  auto file = io::read_path(path, Bytes::mib(64));
  EXPECT_TRUE(file.ok()) << file.error().message();
  return file.ok() ? *file : "";
}

const std::string& stub() {
  static const std::string bytes = read("/usr/lib/systemd/boot/efi/linuxx64.efi.stub");
  return bytes;
}
// An EFI program stands in for the kernel.
const std::string& kernel() {
  static const std::string bytes = read("/usr/lib/systemd/boot/efi/systemd-bootx64.efi");
  return bytes;
}

std::vector<Part> parts() {
  return {{".linux", kernel()},
          {".osrel", "ID=steppe\n"},
          {".cmdline", "quiet"},
          {".initrd", std::string(3000, 'i')},
          {".steppe", "frame"}};
}

TEST(Assemble, EveryPartComesBack) {
  auto file = assemble(as_bytes(stub()), parts());
  ASSERT_TRUE(file.ok()) << file.error().message();
  EXPECT_EQ(*file, *assemble(as_bytes(stub()), parts()));
  auto pe = read_pe(as_bytes(*file));
  ASSERT_TRUE(pe.ok()) << pe.error().message();
  for (const Part& part : parts()) {
    const Section* section = pe->find(part.name);
    ASSERT_NE(section, nullptr) << part.name;
    EXPECT_EQ(as_text(section_bytes(as_bytes(*file), *section)), part.content) << part.name;
    EXPECT_EQ(section->address % pe->section_alignment, 0u);
  }
  EXPECT_EQ(pe->sections.back().name, ".linux");
  EXPECT_GE(pe->sections.back().size, read_pe(as_bytes(kernel()))->image_size)
      << "the room that the kernel takes once started";
  EXPECT_EQ(load_le<uint32_t>(file->data() + pe->checksum_offset), pe_checksum(as_bytes(*file), pe->checksum_offset));
}

TEST(Assemble, ReplacesWhatTheStubHas) {
  const std::string sbat = merge_sbat(as_bytes(stub()), "steppe,1,Steppe,steppe,1,https://example.invalid/\n");
  ASSERT_TRUE(sbat.starts_with("sbat,1"));
  auto file = assemble(as_bytes(stub()), {{".sbat", sbat}, {".osrel", "x"}});
  ASSERT_TRUE(file.ok()) << file.error().message();
  auto pe = read_pe(as_bytes(*file));
  ASSERT_TRUE(pe.ok()) << pe.error().message();
  EXPECT_EQ(as_text(section_bytes(as_bytes(*file), *pe->find(".sbat"))), sbat);
  EXPECT_FALSE(assemble(as_bytes(stub()), {{".sbat", std::string(5000, 's')}}).ok());
}

TEST(Assemble, RefusesWhatDoesNotFit) {
  EXPECT_FALSE(assemble(as_bytes(stub()), {{".linux", "no program"}}).ok());
  EXPECT_FALSE(assemble(as_bytes(stub()), {{".much-too-long", "x"}}).ok());
  std::vector<Part> many;
  for (int i = 0; i < 60; ++i) many.push_back({".s" + std::to_string(i), "x"});
  EXPECT_EQ(assemble(as_bytes(stub()), many).error().code(), Code::kExhausted);
  EXPECT_FALSE(assemble(as_bytes("MZ"), parts()).ok());
}

TEST(Pe, CutOrChangedHeadersAreRefusedOrSafe) {
  const std::string& good = stub();
  for (size_t size = 0; size < good.size(); size += 101) {
    std::string cut = good.substr(0, size);
    cut.shrink_to_fit();
    EXPECT_FALSE(read_pe(as_bytes(cut)).ok()) << size;
  }
  for (size_t at = 0; at < 0x600; ++at) {
    for (const char value : {'\0', '\x7f', '\xff'}) {
      std::string bad = good;
      bad[at] = value;
      auto pe = read_pe(as_bytes(bad));
      if (!pe.ok()) continue;
      for (const Section& section : pe->sections) {
        EXPECT_LE(section_bytes(as_bytes(bad), section).size(), bad.size());
      }
    }
  }
}

}  // namespace
}  // namespace steppe::uki
