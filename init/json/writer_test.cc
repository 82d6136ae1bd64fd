#include "init/json/writer.h"

#include <cmath>
#include <cstring>
#include <cstdint>
#include <limits>
#include <string>

#include "gtest/gtest.h"
#include "init/base/rng.h"
#include "init/json/reader.h"

namespace steppe::json {
namespace {

std::string written_text(std::string_view text) {
  std::string out;
  append_quoted(&out, text);
  return out;
}
std::string number(double value) {
  std::string out;
  append_number(&out, value);
  return out;
}

void sample(Writer writer) {
  writer.begin_object();
  writer.key("a");
  writer.begin_array();
  writer.integer(1);
  writer.text("two");
  writer.begin_object();
  writer.end_object();
  writer.begin_array();
  writer.end_array();
  writer.null();
  writer.end_array();
  writer.quoted_key("\"b\":");
  writer.boolean(true);
  writer.end_object();
}

TEST(JsonWriter, Compact) {
  std::string out;
  sample(Writer(&out));
  EXPECT_EQ(out, R"({"a":[1,"two",{},[],null],"b":true})");
}

TEST(JsonWriter, PrettyIndentsByFour) {
  std::string out;
  sample(Writer(&out, Style::kPretty));
  EXPECT_EQ(out, R"({
    "a": [
        1,
        "two",
        {},
        [],
        null
    ],
    "b": true
})");
}

TEST(JsonWriter, EscapesAsGoWithoutHtml) {
  EXPECT_EQ(written_text("<a href=\"x\">&</a>"), R"("<a href=\"x\">&</a>")");
  EXPECT_EQ(written_text("\\ \b\f\n\r\t\x01\x1f\x7f"), "\"\\\\ \\b\\f\\n\\r\\t\\u0001\\u001f\x7f\"");
  EXPECT_EQ(written_text("é€😀"), "\"é€😀\"");
  EXPECT_EQ(written_text("a\u2028b\u2029"), R"("a\u2028b\u2029")");
  EXPECT_EQ(written_text("a\xff" "b\xc0\xaf"), R"("a\ufffdb\ufffd\ufffd")");
  EXPECT_EQ(written_text(std::string_view("\0", 1)), R"("\u0000")");
}

TEST(JsonWriter, NumbersAsGo) {
  EXPECT_EQ(number(0), "0");
  EXPECT_EQ(number(-0.0), "-0");
  EXPECT_EQ(number(1), "1");
  EXPECT_EQ(number(0.1), "0.1");
  EXPECT_EQ(number(1e20), "100000000000000000000");
  EXPECT_EQ(number(1e21), "1e+21");
  EXPECT_EQ(number(1e-6), "0.000001");
  EXPECT_EQ(number(1e-7), "1e-7");
  EXPECT_EQ(number(1.5e-10), "1.5e-10");
  EXPECT_EQ(number(std::nan("")), "null");
  EXPECT_EQ(number(std::numeric_limits<double>::infinity()), "null");
  std::string out;
  Writer writer(&out);
  writer.begin_array();
  writer.integer(std::numeric_limits<int64_t>::min());
  writer.unsigned_integer(std::numeric_limits<uint64_t>::max());
  writer.end_array();
  EXPECT_EQ(out, "[-9223372036854775808,18446744073709551615]");
}

TEST(JsonWriter, ReadsBackTheSame) {
  SeededRng rng(7);
  for (int round = 0; round < 2000; ++round) {
    const uint64_t bits = rng.next();
    double value = 0;
    std::memcpy(&value, &bits, sizeof value);
    if (!std::isfinite(value)) continue;
    const std::string text = number(value);
    Reader reader(text);
    ASSERT_EQ(reader.next(), Kind::kNumber) << text;
    ASSERT_EQ(reader.number(), value) << text;
  }
  for (int round = 0; round < 2000; ++round) {
    std::string value;
    for (uint64_t n = rng.below(20); n > 0; --n) value.push_back(static_cast<char>(rng.below(128)));
    const std::string text = written_text(value);
    Reader reader(text);
    ASSERT_EQ(reader.next(), Kind::kString) << text;
    ASSERT_EQ(reader.text(), value);
  }
}

}  // namespace
}  // namespace steppe::json
