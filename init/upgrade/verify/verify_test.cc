#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "init/upgrade/verify/fitness.h"

namespace steppe::verify {
namespace {

using upgrade::Manifest;

class TextBytes final : public ImageBytes {
 public:
  explicit TextBytes(std::string bytes) : bytes_(std::move(bytes)) {}
  uint64_t size() const override { return bytes_.size(); }
  Result<> read(uint64_t offset, ByteSpan into) override {
    EXPECT_LE(offset + into.size(), bytes_.size());
    std::ranges::copy(as_bytes(bytes_).subspan(offset, into.size()), into.begin());
    return {};
  }

 private:
  std::string bytes_;
};

std::string slurp(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

struct Section {
  std::string name, content;
};

// The smallest PE32+ that the tools take: headers of 0x400 bytes, sections one after the other.
std::string make_pe(const std::vector<Section>& sections, uint16_t machine = 0x8664) {
  std::string file(0x400, '\0');
  auto put = [&](size_t at, auto value) { store_le(file.data() + at, value); };
  file.replace(0, 2, "MZ");
  put(0x3c, uint32_t{0x80});
  file.replace(0x80, 2, "PE");
  put(0x84, machine);
  put(0x86, static_cast<uint16_t>(sections.size()));
  put(0x94, uint16_t{240});
  put(0x96, uint16_t{0x22e});
  put(0x98, uint16_t{0x20b});
  put(0x98 + 32, uint32_t{0x1000});  // SectionAlignment, FileAlignment
  put(0x98 + 36, uint32_t{0x200});
  put(0x98 + 56, uint32_t{0x100000});
  put(0x98 + 60, uint32_t{0x400});
  put(0x98 + 68, uint16_t{10});
  put(0x98 + 108, uint32_t{16});
  uint32_t address = 0x1000;
  for (size_t i = 0; i < sections.size(); i++) {
    size_t at = 0x98 + 240 + 40 * i;
    file.replace(at, sections[i].name.size(), sections[i].name);
    put(at + 8, static_cast<uint32_t>(sections[i].content.size()));
    put(at + 12, address);
    uint32_t padded = static_cast<uint32_t>((sections[i].content.size() + 0x1ff) / 0x200 * 0x200);
    put(at + 16, padded);
    put(at + 20, static_cast<uint32_t>(file.size()));
    put(at + 36, uint32_t{0x40000040});
    file += sections[i].content + std::string(padded - sections[i].content.size(), '\0');
    address += (padded + 0xfff) / 0x1000 * 0x1000;
  }
  return file;
}

Manifest manifest_of(const std::string& version, uint64_t security = 2) {
  return {.version = version, .arch = "x86-64", .security_version = security, .kernel = "6.12.1"};
}

std::vector<Section> sections_of(const Manifest& manifest, const std::string& release_version) {
  return {{".osrel", "ID=steppe\nIMAGE_ID=\"steppe\"\nIMAGE_VERSION=" + release_version + "\n"},
          {".cmdline", "quiet"}, {".steppe", *upgrade::encode_manifest(manifest)}, {".initrd", "initrd"}, {".linux", std::string(3000, 'k')}};
}
std::string image_of(const Manifest& manifest) { return make_pe(sections_of(manifest, manifest.version)); }

// Keys and a signed image, made once by the tools that people use.
class Signed : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    directory_ = std::filesystem::path(testing::TempDir()) / ("verify" + std::to_string(getpid()));
    std::filesystem::create_directories(directory_);
    for (const char* who : {"ours", "theirs"})
      run("openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=" + std::string(who) + " -keyout " +
          path(std::string(who) + ".key") + " -out " + path(std::string(who) + ".crt"));
    // An intermediate: signs images, issued by "ours".
    run("openssl req -newkey rsa:2048 -nodes -subj /CN=release -keyout " + path("release.key") + " -out " + path("release.csr"));
    run("openssl x509 -req -in " + path("release.csr") + " -CA " + path("ours.crt") + " -CAkey " + path("ours.key") +
        " -set_serial 7 -days 1 -out " + path("release.crt"));
    keys_.trusted = {*certificate_der(as_bytes(slurp(path("ours.crt"))))};
  }
  static void TearDownTestSuite() { std::filesystem::remove_all(directory_); }

  static std::string path(const std::string& name) { return (directory_ / name).string(); }
  static void run(const std::string& command) {
    ASSERT_EQ(std::system((command + " >" + path("log") + " 2>&1").c_str()), 0) << command << "\n" << slurp(path("log"));
  }
  static std::string sign(const std::string& image, const std::string& who) {
    std::ofstream(path("in.efi"), std::ios::binary) << image;
    run("sbsign --key " + path(who + ".key") + " --cert " + path(who + ".crt") + " --output " + path("out.efi") + " " + path("in.efi"));
    return slurp(path("out.efi"));
  }
  static Result<Fit> check(const std::string& file, uint64_t floor = 0, const std::string& arch = "x86-64") {
    TextBytes bytes(file);
    return check_image(bytes, {.keys = keys_, .arch = arch, .security_floor = floor});
  }
  static std::string why(const std::string& file, uint64_t floor = 0, const std::string& arch = "x86-64") {
    Result<Fit> fit = check(file, floor, arch);
    return fit.ok() ? "fit" : std::string(code_name(fit.error().code())) + ": " + fit.error().message();
  }

  static inline std::filesystem::path directory_;
  static inline MachineKeys keys_;
};

TEST_F(Signed, WhatWeSignedIsFit) {
  std::string file = sign(image_of(manifest_of("1.2")), "ours");
  Result<Fit> fit = check(file, 2);
  ASSERT_TRUE(fit.ok()) << fit.error().message();
  EXPECT_EQ(fit->manifest, manifest_of("1.2"));
  EXPECT_EQ(fit->signer, "/CN=ours");
  EXPECT_EQ(fit->section, upgrade::sha256(as_bytes(*upgrade::encode_manifest(manifest_of("1.2")))));
  EXPECT_EQ(*fit, *decode_verdict(as_bytes(encode_verdict(fit))));
  // A key issued by a trusted one is trusted: the certificate of the issuer is what the machine has.
  EXPECT_EQ(why(sign(image_of(manifest_of("1.2")), "release")), "fit");
  // Two signatures: one of them is enough.
  EXPECT_EQ(why(sign(sign(image_of(manifest_of("1.2")), "theirs"), "ours")), "fit");
}

TEST_F(Signed, WhatIsNotFitSaysWhy) {
  std::string good = image_of(manifest_of("1.2")), file = sign(good, "ours");
  EXPECT_EQ(why(good), "denied: the image is not signed");
  EXPECT_EQ(why(sign(good, "theirs")).find("denied: signed by /CN=theirs, whom this machine does not trust, or forged"), 0u) << why(sign(good, "theirs"));
  EXPECT_EQ(why(file, 3), "denied: the image has security version 2, this machine takes nothing below 3");
  EXPECT_EQ(why(file, 0, "arm64"), "unsupported: the image is for x86-64, this machine is arm64");
  EXPECT_EQ(why(sign(make_pe(sections_of(manifest_of("1.2"), "1.3")), "ours"))
                .find("invalid: the image says IMAGE_ID=steppe and IMAGE_VERSION=1.3 in .osrel"),
            0u);
  EXPECT_EQ(why(sign(make_pe(sections_of(manifest_of("1.2"), "1.2"), 0xaa64), "ours"), 0, "arm64"),
            "invalid: the image is a program for arm64 and says that it is for x86-64");
  std::vector<Section> twice = sections_of(manifest_of("1.2"), "1.2");
  twice.push_back(twice[2]);
  EXPECT_EQ(why(sign(make_pe(twice), "ours")), "invalid: the image has no section .steppe, or two: it is not one of ours");
  MachineKeys kept = keys_;
  keys_.refused_images = {check(file)->authenticode};
  EXPECT_EQ(why(file).find("denied: the image "), 0u);
  keys_ = kept;
  keys_.refused_signers = {upgrade::sha256(as_bytes(keys_.trusted[0]))};
  EXPECT_EQ(why(file), "denied: signature: its signer /CN=ours is refused on this machine");
  keys_ = {};
  EXPECT_EQ(why(file), "denied: this machine has no keys to check images with");
  keys_ = kept;
}

// Every byte counts: whatever one is changed, the image is not fit, but for the three places that firmware leaves out as well.
TEST_F(Signed, NoByteCanBeChanged) {
  std::string good = image_of(manifest_of("1.2")), file = sign(good, "ours");
  ASSERT_EQ(why(file), "fit");
  size_t passed = 0;
  for (size_t i = 0; i < file.size(); i++) {
    std::string changed = file;
    changed[i] = static_cast<char>(changed[i] ^ 0x10);
    bool checksum = i >= 0x98 + 64 && i < 0x98 + 68;
    bool certificates = i >= good.size();  // unsigned parts of PKCS#7 and its padding
    if (check(changed).ok()) passed++;
    if (check(changed).ok() && !checksum && !certificates) ADD_FAILURE() << "byte " << i << " can be changed";
  }
  EXPECT_LT(passed, 600u);
}

TEST_F(Signed, NoLengthButItsOwnIsFit) {
  std::string file = sign(image_of(manifest_of("1.2")), "ours");
  for (size_t length = 0; length < file.size(); length += length < 0x500 ? 1 : 37) EXPECT_NE(why(file.substr(0, length)), "fit") << length;
  EXPECT_NE(why(file + "x"), "fit");
  EXPECT_NE(why(file + std::string(8, '\0')), "fit");
}

// A real unified kernel image by ukify, signed by sbsign: the gaps, alignments and sections that they make are the ones we take.
TEST_F(Signed, TakesWhatUkifyMakes) {
  std::ofstream(path("steppe.bin"), std::ios::binary) << *upgrade::encode_manifest(manifest_of("1.2"));
  std::ofstream(path("linux"), std::ios::binary) << std::string(5000, 'k');
  std::ofstream(path("initrd"), std::ios::binary) << std::string(700, 'i');
  std::ofstream(path("osrel")) << "ID=steppe\nIMAGE_ID=steppe\nIMAGE_VERSION=1.2\n";
  run("ukify build --stub /usr/lib/systemd/boot/efi/linuxx64.efi.stub --linux " + path("linux") + " --uname 6.12 --initrd " +
      path("initrd") + " --cmdline quiet --os-release @" + path("osrel") + " --section .steppe:@" + path("steppe.bin") + " --output " +
      path("uki.efi"));
  std::string file = sign(slurp(path("uki.efi")), "ours");
  EXPECT_EQ(why(file), "fit");
  TextBytes bytes(file);
  Result<Fit> said = describe_image(bytes);
  ASSERT_TRUE(said.ok());
  EXPECT_EQ(said->manifest.version, "1.2");
}

TEST(Pe, RefusesWhatHidesBytes) {
  std::vector<Section> sections = {{".a", std::string(0x200, 'a')}, {".b", std::string(0x200, 'b')}};
  std::string good = make_pe(sections);
  auto why = [](const std::string& file) {
    TextBytes bytes(file);
    Result<PeImage> image = read_pe(bytes);
    return image.ok() ? "" : image.error().message();
  };
  EXPECT_EQ(why(good), "");
  auto with = [&](size_t at, uint32_t value) {
    std::string changed = good;
    store_le(changed.data() + at, value);
    return why(changed);
  };
  size_t second = 0x98 + 240 + 40;
  EXPECT_EQ(with(second + 20, 0x400), "not an EFI program: section .b overlaps what is before it");
  EXPECT_EQ(with(second + 20, 0x601), "not an EFI program: section .b reaches past the file's end");
  EXPECT_EQ(with(second + 16, 0x100), "not an EFI program: there are bytes between the last section and the end, or too few");
  EXPECT_EQ(with(0x3c, 0xffff0000), "not an EFI program: its PE header is at 4294901760");
  EXPECT_EQ(with(0x98 + 60, 0x10), "not an EFI program: SizeOfHeaders is 16");
  EXPECT_EQ(with(0x98 + 108, 17), "not an EFI program: its data directories do not add up");
  EXPECT_EQ(with(0x98 + 112 + 36, 8), "");  // a size without an address: unsigned
  EXPECT_EQ(why("MZ"), "not an EFI program: the PE header's offset is past the headers");
  EXPECT_EQ(why(""), "not an EFI program: it does not begin with MZ");
  EXPECT_EQ(why(good + "12345678"), "not an EFI program: there are bytes between the last section and the end, or too few");
}

TEST(Verdict, IsReadBackOrRefused) {
  Result<Fit> refused(Code::kDenied, "no");
  std::string bytes = encode_verdict(refused);
  Result<Fit> back = decode_verdict(as_bytes(bytes));
  ASSERT_FALSE(back.ok());
  EXPECT_EQ(back.error().code(), Code::kDenied);
  EXPECT_EQ(back.error().message(), "no");
  for (size_t i = 0; i < bytes.size(); i++) EXPECT_NE(decode_verdict(as_bytes(bytes).first(i)).error().message(), "no");
}

}  // namespace
}  // namespace steppe::verify
