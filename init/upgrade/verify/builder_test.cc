#include <gtest/gtest.h>

#include "image/sign/authenticode.h"
#include "image/uki/assemble.h"
#include "init/io/path_file.h"
#include "init/upgrade/verify/extension.h"
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

// An extension signed by the builder's code, and everything that a machine has against others.
struct Extensions : testing::Test {
  static extension::Record record() {
    extension::Record out{.name = "nic", .version = "7", .arch = "x86-64", .holds = extension::kModules, .kernel = "6.12.1"};
    out.data_size = 3 * extension::kBlock;
    out.root.fill(std::byte{9});
    out.salt = "salt";
    return out;
  }
  struct Owner {
    sign::PrivateKey key;
    sign::Certificate certificate;
  };
  static Owner owner(const std::string& name) {
    auto key = sign::PrivateKey::generate(2048);
    auto certificate = sign::Certificate::self_signed(*key, name);
    return {std::move(*key), std::move(*certificate)};
  }
  static std::string file_of(const extension::Record& record, const Owner* by) {
    const std::string frame = *extension::encode_record(record);
    const std::string signature = by ? *sign::sign_digest(sign::sha256(as_bytes(frame)), by->key, by->certificate) : "";
    std::string out = *extension::encode_header(frame, signature);
    out.resize(extension::file_size(record), 'x');
    return out;
  }
  static ExtensionWanted wanted(const std::string& file, const Owner& by) {
    ExtensionWanted out{.named = {.name = "nic", .digest = upgrade::sha256(as_bytes(file)), .size = file.size()}, .arch = "x86-64", .kernel = "6.12.1"};
    out.keys.trusted = {by.certificate.der()};
    return out;
  }
  static Result<ExtensionFit> check(const std::string& file, const ExtensionWanted& wanted) {
    TextBytes bytes(file);
    return check_extension(bytes, wanted);
  }
};

TEST_F(Extensions, WhatTheImageNamesAndItsKeySignedIsFit) {
  const Owner ours = owner("ours");
  const std::string file = file_of(record(), &ours);
  for (bool by_record : {false, true}) {
    ExtensionWanted asked = wanted(file, ours);
    if (by_record) asked.named.record = upgrade::sha256(as_bytes(*extension::encode_record(record())));
    const Result<ExtensionFit> fit = check(file, asked);
    ASSERT_TRUE(fit.ok()) << fit.error().message();
    EXPECT_EQ(fit->record, record());
    EXPECT_NE(fit->signer.find("ours"), std::string::npos);
    auto back = decode_extension_verdict(as_bytes(encode_extension_verdict(fit)));
    ASSERT_TRUE(back.ok()) << back.error().message();
    EXPECT_EQ(*back, *fit);
  }
  ExtensionWanted keyless = wanted(file_of(record(), nullptr), ours);
  keyless.keys.trusted.clear();
  EXPECT_TRUE(check(file_of(record(), nullptr), keyless).ok()) << "an image that nobody signed names it by digest";
}

TEST_F(Extensions, WhatIsNotSaysWhy) {
  const Owner ours = owner("ours"), theirs = owner("theirs");
  const std::string good = file_of(record(), &ours);
  const auto refused = [&](const std::string& file, const ExtensionWanted& asked, Code code, std::string_view why) {
    const Result<ExtensionFit> fit = check(file, asked);
    ASSERT_FALSE(fit.ok()) << why;
    EXPECT_EQ(fit.error().code(), code) << fit.error().message();
    EXPECT_NE(fit.error().message().find(why), std::string::npos) << fit.error().message();
    EXPECT_EQ(decode_extension_verdict(as_bytes(encode_extension_verdict(fit))).error().message(), fit.error().message());
  };
  std::string changed = good;
  changed.back() ^= 1;
  refused(changed, wanted(good, ours), Code::kDenied, "its SHA-256 is");
  refused(good + "x", wanted(good, ours), Code::kDenied, "bytes, the image names one of");
  ExtensionWanted by_record = wanted(good, ours);
  by_record.named.record = Digest{};
  refused(good, by_record, Code::kDenied, "its record is");
  const std::string forged = file_of(record(), &theirs), bare = file_of(record(), nullptr);
  refused(forged, wanted(forged, ours), Code::kDenied, "theirs");
  refused(bare, wanted(bare, ours), Code::kDenied, "not signed");
  // A signature over another record, put beside this one.
  extension::Record other = record();
  other.version = "8";
  std::string mixed = *extension::encode_header(*extension::encode_record(other), *sign::sign_digest(sign::sha256(as_bytes(*extension::encode_record(record()))), ours.key, ours.certificate));
  mixed.resize(good.size(), 'x');
  refused(mixed, wanted(mixed, ours), Code::kCorrupt, "not what was signed");
  ExtensionWanted asked = wanted(good, ours);
  asked.kernel = "6.12.2";
  refused(good, asked, Code::kUnsupported, "its modules are for kernel 6.12.1, this one is 6.12.2");
  asked = wanted(good, ours);
  asked.arch = "arm64";
  refused(good, asked, Code::kUnsupported, "it is for x86-64, this machine is arm64");
  extension::Record renamed = record();
  renamed.name = "gpu";
  const std::string under_other_name = file_of(renamed, &ours);
  refused(under_other_name, wanted(under_other_name, ours), Code::kDenied, "it calls itself \"gpu\"");
  ExtensionWanted revoked = wanted(good, ours);
  revoked.keys.refused_signers = {upgrade::sha256(as_bytes(ours.certificate.der()))};
  refused(good, revoked, Code::kDenied, "refused on this machine");
  std::string cut = good.substr(0, 100);
  refused(cut, wanted(cut, ours), Code::kInvalid, "not an extension's file");
  std::string shorter = good.substr(0, good.size() - extension::kBlock);
  refused(shorter, wanted(shorter, ours), Code::kCorrupt, "its header tells of");
}

// The two kinds of signed things cannot stand for one another.
TEST_F(Extensions, NoExtensionIsAnImage) {
  const Owner ours = owner("ours");
  const std::string file = file_of(record(), &ours);
  TextBytes bytes(file);
  EXPECT_FALSE(check_image(bytes, {.keys = {.trusted = {ours.certificate.der()}}, .arch = "x86-64"}).ok());
  EXPECT_FALSE(sign::sign_digest("short", ours.key, ours.certificate).ok());
}

}  // namespace
}  // namespace steppe::verify
