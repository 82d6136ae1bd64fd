#include "init/base/byte_size.h"

#include <gtest/gtest.h>

namespace steppe {
namespace {

TEST(ByteSize, Table) {
  struct Case {
    const char* text;
    uint64_t bytes;
  };
  for (const Case& c : {Case{"0", 0}, {"4096", 4096}, {"1b", 1}, {"100GB", 100'000'000'000}, {"100gb", 100'000'000'000}, {"2 kB", 2000}, {"2K", 2000}, {"1KiB", 1024},
                        {"1.5MiB", 1'572'864}, {"3Gi", 3'221'225'472}, {" 1 TB ", 1'000'000'000'000}, {"1P", 1'000'000'000'000'000}}) {
    auto found = parse_byte_size(c.text);
    ASSERT_TRUE(found.ok()) << c.text << ": " << found.error().message();
    EXPECT_EQ(found->count, c.bytes) << c.text;
  }
  for (const char* bad : {"", "GB", "-1", "1x", "1GBs", "1 2", "nan", "inf", "1e3", "10000PiB", "0x10"}) {
    auto found = parse_byte_size(bad);
    ASSERT_FALSE(found.ok()) << bad << ": " << found->count;
    EXPECT_EQ(found.error().code(), Code::kInvalid) << bad;
  }
  EXPECT_EQ(parse_byte_size("much").error().message(), "\"much\" is no size: expected a number and a unit, as in 100MB or 1.5GiB");
}

}  // namespace
}  // namespace steppe
