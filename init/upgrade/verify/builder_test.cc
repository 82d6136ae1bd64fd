#include <gtest/gtest.h>

#include "image/sign/authenticode.h"
#include "image/uki/assemble.h"
#include "init/io/path_file.h"
#include "init/upgrade/verify/fitness.h"

namespace steppe::verify {
namespace {

class TextBytes final : public ImageBytes {
 public:
  explicit TextBytes(std::string bytes) : bytes_(std::move(bytes)) {}
  uint64_t size() const override { return bytes_.size(); }
  Result<> read(uint64_t offset, ByteSpan into) override {
    std::ranges::copy(as_bytes(bytes_).subspan(offset, into.size()), into.begin());
    return {};
  }

 private:
  std::string bytes_;
};

// What our own builder assembles and signs is what a node takes; both sides were written apart from the formats' papers.
TEST(Builder, MakesWhatANodeTakes) {
  upgrade::Manifest manifest{.version = "1.2", .arch = "x86-64", .security_version = 3, .kernel = "6.12"};
  Result<std::string> stub = io::read_path("/usr/lib/systemd/boot/efi/linuxx64.efi.stub", Bytes::mib(8));
  ASSERT_TRUE(stub.ok());
  auto kernel = io::read_path("/usr/lib/systemd/boot/efi/systemd-bootx64.efi", Bytes::mib(8));  // stands in for one
  auto file = uki::assemble(as_bytes(*stub), {{".linux", *kernel},
                                              {".initrd", std::string(3001, 'i')},
                                              {".cmdline", "quiet"},
                                              {".osrel", "ID=steppe\nIMAGE_ID=steppe\nIMAGE_VERSION=1.2\n"},
                                              {".steppe", *upgrade::encode_manifest(manifest)}});
  ASSERT_TRUE(file.ok()) << file.error().message();
  auto key = sign::PrivateKey::generate(2048);
  auto certificate = sign::Certificate::self_signed(*key, "release");
  auto made = sign::sign_program(as_bytes(*file), *key, *certificate);
  ASSERT_TRUE(made.ok()) << made.error().message();
  Requirements wanted{.keys = {.trusted = {certificate->der()}}, .arch = "x86-64", .security_floor = 3};
  TextBytes bytes(*made);
  Result<Fit> fit = check_image(bytes, wanted);
  ASSERT_TRUE(fit.ok()) << fit.error().message();
  EXPECT_EQ(fit->manifest, manifest);
  EXPECT_EQ(as_text(fit->authenticode), sign::authenticode_digest(as_bytes(*made), *uki::read_pe(as_bytes(*made))));

  std::string changed = *made;
  changed[changed.find("IMAGE_VERSION=1.2")] = 'i';
  TextBytes other(changed);
  EXPECT_EQ(check_image(other, wanted).error().code(), Code::kCorrupt);
  TextBytes unsigned_file(*file);
  EXPECT_EQ(check_image(unsigned_file, wanted).error().message(), "the image is not signed");
}

}  // namespace
}  // namespace steppe::verify
