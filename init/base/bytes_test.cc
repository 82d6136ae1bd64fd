#include "init/base/bytes.h"

#include <gtest/gtest.h>

#include "init/base/ids.h"
#include "init/base/log.h"
#include "init/base/rng.h"

namespace steppe {
namespace {

TEST(Bytes, Crc32cMatchesRfc3720) {
  EXPECT_EQ(crc32c(as_bytes(std::string(32, '\0'))), 0x8a9136aau);
  EXPECT_EQ(crc32c(as_bytes(std::string(32, '\xff'))), 0x62a8ab43u);
  EXPECT_EQ(crc32c(as_bytes("123456789")), 0xe3069283u);
  EXPECT_EQ(crc32c(as_bytes("6789"), crc32c(as_bytes("12345"))), 0xe3069283u);
}

TEST(Bytes, HexAndBase64RoundTripAndRefuse) {
  SeededRng rng(7);
  for (size_t size = 0; size < 64; ++size) {
    std::string raw(size, '\0');
    rng.fill(std::as_writable_bytes(std::span(raw)));
    EXPECT_EQ(unhex(hex(as_bytes(raw))).value(), raw);
    EXPECT_EQ(unbase64(base64(as_bytes(raw))).value(), raw);
  }
  EXPECT_EQ(base64(as_bytes("foob")), "Zm9vYg==");
  for (const char* bad : {"A", "A===", "Zm9vYh==", "Zm9=YQ==", "Zm9v!g=="}) EXPECT_FALSE(unbase64(bad).ok()) << bad;
  EXPECT_FALSE(unhex("0").ok());
  EXPECT_FALSE(unhex("0g").ok());
}

TEST(Ids, ParseOnlyTheCanonicalShape) {
  SeededRng rng(1);
  const AllocId id = AllocId::random(rng);
  EXPECT_EQ(AllocId::parse(id.text()).value(), id);
  EXPECT_EQ(id.text()[14], '4');
  EXPECT_FALSE(AllocId::parse(id.text().substr(1)).ok());
  EXPECT_FALSE(AllocId::parse(std::string(36, '-')).ok());
}

TEST(Rng, SameSeedSameNumbersAndBelowStaysBelow) {
  SeededRng a(42), b(42);
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(a.next(), b.next());
    EXPECT_LT(a.below(7), 7u);
    b.below(7);
  }
}

TEST(Log, AValueCannotForgeALine) {
  const std::string line = log::render({WallTime{0}, log::Level::kInfo, "job registered", " ns=default", {{"job", "x\n[ERROR] y=\"z\""}}});
  EXPECT_EQ(line, "1970-01-01T00:00:00.000Z [INFO]  job registered: ns=default job=\"x\\n[ERROR] y=\\\"z\\\"\"\n");
}

TEST(Error, FramesReadFromTheOutside) {
  const auto fail = []() -> Result<int> { return Error::from_errno(16, "mount /run").wrap("start task web"); };
  EXPECT_EQ(fail().error().message(), "start task web: mount /run: Device or resource busy");
  EXPECT_EQ(fail().error().sys_errno(), 16);
  const auto caller = [&]() -> Result<> {
    STEPPE_TRY(int value, fail());
    static_cast<void>(value);
    return {};
  };
  EXPECT_EQ(caller().error().code(), Code::kIo);
}

}  // namespace
}  // namespace steppe
