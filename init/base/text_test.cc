#include "init/base/text.h"

#include <gtest/gtest.h>

namespace steppe {
namespace {

TEST(Duration, PrintsAndParsesAsGoDoes) {
  const std::pair<int64_t, const char*> cases[] = {
      {0, "0s"}, {1, "1ns"}, {1'500, "1.5\xc2\xb5s"}, {2'000'000, "2ms"}, {1'000'000'000, "1s"},
      {30'500'000'000, "30.5s"}, {90'000'000'000, "1m30s"}, {3'600'000'000'000, "1h0m0s"}, {-1'500'000'000, "-1.5s"}};
  for (const auto& [ns, text] : cases) {
    EXPECT_EQ(format_duration(Duration(ns)), text);
    EXPECT_EQ(parse_duration(text).value().count(), ns);
  }
  EXPECT_EQ(parse_duration("1h15m30.5s").value().count(), 4'530'500'000'000);
  for (const char* bad : {"", "1", "s", "1x", ".s", "1h-3m", "9999999999h", "99999999999999999999s", "1s "}) {
    EXPECT_FALSE(parse_duration(bad).ok()) << bad;
  }
}

TEST(Time, Rfc3339RoundTrips) {
  const WallTime t{1'795'259'765'250'000'000};
  EXPECT_EQ(format_rfc3339(t), "2026-11-21T11:16:05.25Z");
  EXPECT_EQ(parse_rfc3339("2026-11-21T11:16:05.25Z").value(), t);
  EXPECT_EQ(parse_rfc3339("2026-11-21T12:46:05.25+01:30").value(), t);
  for (const char* bad : {"", "2026-11-21", "2026-13-21T11:16:05Z", "2026-11-21T24:16:05Z", "2026-11-21T11:16:05"}) {
    EXPECT_FALSE(parse_rfc3339(bad).ok()) << bad;
  }
}

TEST(Text, SplitTrimGlobUtf8) {
  EXPECT_EQ(split("a,,b", ',').size(), 3u);
  EXPECT_EQ(split("", ',').size(), 1u);
  EXPECT_EQ(trim(" \ta b\n"), "a b");
  EXPECT_TRUE(glob_match("dc*", "dc1"));
  EXPECT_TRUE(glob_match("*a*b?", "xxaybz"));
  EXPECT_FALSE(glob_match("a*b", "acd"));
  EXPECT_TRUE(is_utf8("h\xc3\xa9"));
  EXPECT_FALSE(is_utf8("\xc0\x80"));
  EXPECT_FALSE(is_utf8("\xed\xa0\x80"));
  EXPECT_FALSE(is_utf8("\xe2\x82"));
}

TEST(Text, NumbersAreWholeAndBounded) {
  EXPECT_EQ(parse_int("-42").value(), -42);
  for (const char* bad : {"", "+1", " 1", "1 ", "0x1", "9223372036854775808"}) EXPECT_FALSE(parse_int(bad).ok()) << bad;
  EXPECT_FALSE(parse_uint("-1").ok());
}

}  // namespace
}  // namespace steppe
