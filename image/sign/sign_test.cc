#include <gtest/gtest.h>

#include "image/sign/authenticode.h"
#include "image/sign/der.h"
#include "image/sign/key.h"
#include "image/uki/assemble.h"
#include "image/uki/pe.h"

namespace steppe::sign {
namespace {

struct Identity {
  PrivateKey key;
  Certificate certificate;
};
Identity& identity(int which) {
  static auto make = [](const char* name) {
    PrivateKey key = *PrivateKey::generate(2048);
    Certificate certificate = *Certificate::self_signed(key, name);
    return Identity{std::move(key), std::move(certificate)};
  };
  static Identity ours = make("ours"), theirs = make("theirs");
  return which == 0 ? ours : theirs;
}

std::vector<Certificate> trusted(int which) {
  std::vector<Certificate> out;
  out.push_back(*Certificate::parse_der(identity(which).certificate.der()));
  return out;
}

// A small program: headers, two sections.
std::string program() {
  std::string file(0x600, '\0');
  char* at = file.data();
  at[0] = 'M';
  at[1] = 'Z';
  store_le<uint32_t>(at + 60, 64);
  std::memcpy(at + 64, "PE\0\0", 4);
  store_le<uint16_t>(at + 68, uki::kMachineX64);
  store_le<uint16_t>(at + 70, 2);
  store_le<uint16_t>(at + 84, 240);
  store_le<uint16_t>(at + 88, 0x20b);
  store_le<uint32_t>(at + 88 + 32, 0x1000);
  store_le<uint32_t>(at + 88 + 36, 0x200);
  store_le<uint32_t>(at + 88 + 56, 0x3000);
  store_le<uint32_t>(at + 88 + 60, 0x200);
  store_le<uint32_t>(at + 88 + 108, 16);
  const char* names[] = {".text", ".data"};
  for (uint32_t i = 0; i < 2; ++i) {
    char* row = at + 88 + 240 + i * 40;
    std::memcpy(row, names[i], 5);
    store_le<uint32_t>(row + 8, 0x100);
    store_le<uint32_t>(row + 12, 0x1000 * (i + 1));
    store_le<uint32_t>(row + 16, 0x200);
    store_le<uint32_t>(row + 20, 0x200 * (i + 1));
  }
  for (size_t i = 0x200; i < file.size(); ++i) at[i] = static_cast<char>(i * 7);
  return file;
}

TEST(Sign, IsDeterministicAndVerifies) {
  const std::string plain = program();
  const std::string one = *sign_program(as_bytes(plain), identity(0).key, identity(0).certificate);
  EXPECT_EQ(one, *sign_program(as_bytes(plain), identity(0).key, identity(0).certificate));
  EXPECT_EQ(one, *sign_program(as_bytes(one), identity(0).key, identity(0).certificate))
      << "an earlier signature is replaced";
  auto found = verify_program(as_bytes(one), trusted(0));
  ASSERT_TRUE(found.ok()) << found.error().message();
  EXPECT_EQ(found->subject, "CN=ours");
  EXPECT_EQ(*strip_signatures(as_bytes(one)), *strip_signatures(as_bytes(plain)));
}

TEST(Sign, RefusesForeignUnsignedAndMismatched) {
  const std::string plain = program();
  EXPECT_EQ(verify_program(as_bytes(plain), trusted(0)).error().message(), "the file is not signed");
  const std::string foreign = *sign_program(as_bytes(plain), identity(1).key, identity(1).certificate);
  auto refused = verify_program(as_bytes(foreign), trusted(0));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), Code::kDenied);
  EXPECT_NE(refused.error().message().find("CN=theirs"), std::string::npos);
  EXPECT_FALSE(sign_program(as_bytes(plain), identity(0).key, identity(1).certificate).ok());
  // Their signature under our certificate's name.
  std::string swapped = *sign_program(as_bytes(plain), identity(0).key, identity(0).certificate);
  swapped[swapped.size() - 20] ^= 1;
  EXPECT_FALSE(verify_program(as_bytes(swapped), trusted(0)).ok());
}

TEST(Sign, EveryChangedByteIsNoticedOrOutsideTheSignature) {
  const std::string good = *sign_program(as_bytes(program()), identity(0).key, identity(0).certificate);
  const uki::Pe pe = *uki::read_pe(as_bytes(good));
  size_t unnoticed = 0;
  for (size_t at = 0; at < good.size(); ++at) {
    std::string bad = good;
    bad[at] ^= 0x40;
    if (!verify_program(as_bytes(bad), trusted(0)).ok()) continue;
    const bool checksum = at >= pe.checksum_offset && at < pe.checksum_offset + 4;
    EXPECT_TRUE(checksum || at >= pe.certificate_offset) << "byte " << at;
    if (!checksum) ++unnoticed;  // parts of the signature that carry no meaning: unused names, padding
  }
  EXPECT_LT(unnoticed, 64u);
}

TEST(Sign, CutAnywhereIsRefused) {
  const std::string good = *sign_program(as_bytes(program()), identity(0).key, identity(0).certificate);
  for (size_t size = 0; size < good.size(); ++size) {
    std::string cut = good.substr(0, size);
    cut.shrink_to_fit();
    EXPECT_FALSE(verify_program(as_bytes(cut), trusted(0)).ok()) << size;
  }
}

TEST(Sign, ACertificateIssuedByATrustedOneIsGood) {
  const std::string file = *sign_program(as_bytes(program()), identity(0).key, identity(0).certificate);
  EXPECT_TRUE(identity(0).certificate.signed_by(identity(0).certificate));
  EXPECT_FALSE(identity(0).certificate.signed_by(identity(1).certificate));
  EXPECT_TRUE(verify_program(as_bytes(file), trusted(0)).ok());
}

TEST(Key, CertificateFollowsFromKeyAndName) {
  auto again = Certificate::self_signed(identity(0).key, "ours");
  EXPECT_EQ(again->pem(), identity(0).certificate.pem());
  auto read = PrivateKey::parse(identity(0).key.pem(), "key");
  ASSERT_TRUE(read.ok());
  EXPECT_TRUE(identity(0).certificate.belongs_to(*read));
  EXPECT_FALSE(PrivateKey::parse("nothing", "key").ok());
  EXPECT_FALSE(Certificate::parse_pem("nothing", "certificate").ok());
}

TEST(Der, LengthsAndLimits) {
  for (size_t size : {0u, 127u, 128u, 255u, 256u, 65535u, 65536u}) {
    const std::string encoded = der(kOctetString, std::string(size, 'x'));
    DerReader reader(encoded);
    auto element = reader.next(kOctetString, "text");
    ASSERT_TRUE(element.ok());
    EXPECT_EQ(element->content.size(), size);
    EXPECT_TRUE(reader.done());
    EXPECT_FALSE(DerReader(std::string_view(encoded).substr(0, encoded.size() - 1)).next().ok());
  }
  for (const std::string bad : {"\x04\x80",
                                "\x04\x81\x05"
                                "aaaaa",
                                "\x1f\x01\x00",
                                "\x04\x84\x00\x00\x00\x01"
                                "a"})
    EXPECT_FALSE(DerReader(bad).next().ok());
}

}  // namespace
}  // namespace steppe::sign
