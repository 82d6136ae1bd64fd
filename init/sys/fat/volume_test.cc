#include "init/sys/fat/volume.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace steppe::fat {
namespace {

class Memory final : public Device {
 public:
  explicit Memory(std::string bytes) : bytes(std::move(bytes)) {}
  uint64_t size() const override { return bytes.size(); }
  Result<> read(uint64_t offset, ByteSpan into) override {
    if (offset > bytes.size() || bytes.size() - offset < into.size()) return {Code::kIo, "past the end"};
    std::ranges::copy(as_bytes(bytes).subspan(offset, into.size()), into.begin());
    return {};
  }
  Result<> write(uint64_t offset, ByteView what) override {
    if (writes_left-- == 0) return {Code::kIo, "the power is off"};
    std::ranges::copy(as_text(what), bytes.begin() + static_cast<ptrdiff_t>(offset));
    return {};
  }
  Result<> sync() override { return {}; }
  std::string bytes;
  uint64_t writes_left = UINT64_MAX;
};

class Fat : public testing::Test {
 protected:
  void SetUp() override {
    path_ = std::filesystem::path(testing::TempDir()) / ("vol" + std::to_string(getpid()));
    std::filesystem::create_directories(path_);
  }
  void TearDown() override { std::filesystem::remove_all(path_); }
  int run(const std::string& command) { return std::system(("cd " + path_.string() + " && (" + command + ") >log 2>&1").c_str()); }
  std::string slurp(const char* name) {
    std::ifstream file(path_ / name, std::ios::binary);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }
  // A filesystem as firmware and Linux make them, with two names for one image, as a cut rename leaves them.
  std::string make(const char* format) {
    EXPECT_EQ(run(std::string("rm -f disk; ") + format +
                  " && head -c 9000 /dev/zero | tr '\\0' x >image && : >empty && mmd -i disk ::/EFI ::/EFI/Linux && mcopy -i disk image "
                  "::/EFI/Linux/steppe-2+2-1.efi &&"
                  " mcopy -i disk empty ::/EFI/Linux/steppe-2.efi && mcopy -i disk image ::/EFI/Linux/steppe-1.efi"),
              0)
        << slurp("log");
    Memory memory(slurp("disk"));
    Result<Volume> volume = Volume::open(memory);
    EXPECT_TRUE(volume.ok()) << volume.error().message();
    Result<std::vector<VolumeName>> names = volume->list("EFI/Linux");
    EXPECT_EQ(names->size(), 3u);
    uint64_t from = (*names)[0].entries.back(), to = (*names)[1].entries.back();
    for (size_t field : {20, 21, 26, 27, 28, 29, 30, 31}) memory.bytes[to + field] = memory.bytes[from + field];
    return memory.bytes;
  }
  std::filesystem::path path_;
};

TEST_F(Fat, AForgottenNameLeavesTheOtherWhole) {
  for (const char* format : {"truncate -s 40M disk && mformat -i disk -F -c 1 ::", "truncate -s 40M disk && mformat -i disk ::",
                             "truncate -s 300M disk && mkfs.fat -F 32 disk"}) {
    Memory memory(make(format));
    Result<Volume> volume = Volume::open(memory);
    ASSERT_TRUE(volume.ok()) << format << volume.error().message();
    Result<std::vector<VolumeName>> names = volume->list("efi/LINUX");
    ASSERT_TRUE(names.ok());
    EXPECT_EQ((*names)[0].name, "steppe-2+2-1.efi");
    EXPECT_EQ((*names)[1].name, "steppe-2.efi");
    EXPECT_EQ((*names)[0].first, (*names)[1].first);
    EXPECT_EQ((*names)[1].size, 9000u);
    EXPECT_EQ(volume->forget("EFI/Linux", "steppe-1.efi").error().code(), Code::kDenied);
    EXPECT_EQ(volume->forget("EFI/Linux", "steppe-3.efi").error().code(), Code::kNotFound);
    EXPECT_EQ(volume->forget("EFI/None", "x").error().code(), Code::kNotFound);
    ASSERT_TRUE(volume->forget("EFI/Linux", "steppe-2+2-1.efi").ok());
    EXPECT_EQ(volume->list("EFI/Linux")->size(), 2u);
    EXPECT_EQ(volume->forget("EFI/Linux", "steppe-2.efi").error().code(), Code::kDenied);  // never the last one
    std::ofstream(path_ / "disk", std::ios::binary) << memory.bytes;
    EXPECT_EQ(run("fsck.fat -n disk"), 0) << slurp("log");
    EXPECT_EQ(run("mtype -i disk ::/EFI/Linux/steppe-2.efi | cmp - image"), 0) << slurp("log");
  }
}

TEST_F(Fat, ACutInBetweenIsGoneOnFrom) {
  std::string before = make("truncate -s 40M disk && mformat -i disk -F -c 1 ::");
  for (uint64_t writes = 0; writes < 3; writes++) {
    Memory memory(before);
    Result<Volume> volume = Volume::open(memory);
    memory.writes_left = writes;
    EXPECT_FALSE(volume->forget("EFI/Linux", "steppe-2+2-1.efi").ok());
    EXPECT_EQ(volume->list("EFI/Linux")->size(), writes == 0 ? 3u : 2u);
    std::ofstream(path_ / "disk", std::ios::binary) << memory.bytes;
    EXPECT_EQ(run("mtype -i disk ::/EFI/Linux/steppe-2.efi | cmp - image"), 0) << slurp("log");
  }
}

TEST(Volume, RefusesWhatIsNone) {
  Memory none(std::string(4096, '\0'));
  EXPECT_EQ(Volume::open(none).error().message(), "FAT: no boot sector");
  Memory small("x");
  EXPECT_FALSE(Volume::open(small).ok());
}

}  // namespace
}  // namespace steppe::fat
