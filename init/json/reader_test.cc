#include "init/json/reader.h"

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace steppe::json {
namespace {

// The tokens as one line: {k"a" 1 [ ] } and, at last, $ or the error's text.
std::string tokens(std::string_view text, Limits limits = {}) {
  Reader reader(text, limits);
  std::string out;
  for (;;) {
    switch (reader.next()) {
      case Kind::kError: return out + "! " + reader.error().message();
      case Kind::kEnd: return out + "$";
      case Kind::kObject: out += "{ "; break;
      case Kind::kObjectEnd: out += "} "; break;
      case Kind::kArray: out += "[ "; break;
      case Kind::kArrayEnd: out += "] "; break;
      case Kind::kKey: out += std::string(reader.text()) + ": "; break;
      case Kind::kString: out += "'" + std::string(reader.text()) + "' "; break;
      case Kind::kNumber: out += std::string(reader.text()) + " "; break;
      case Kind::kTrue: out += "true "; break;
      case Kind::kFalse: out += "false "; break;
      case Kind::kNull: out += "null "; break;
    }
  }
}

TEST(JsonReader, ReadsEveryKindOfValue) {
  EXPECT_EQ(tokens("  null\n"), "null $");
  EXPECT_EQ(tokens(R"({"a":[1,-0.5e+3,true,false,null,"x"],"b":{},"c":[]})"),
            "{ a: [ 1 -0.5e+3 true false null 'x' ] b: { } c: [ ] } $");
  EXPECT_EQ(tokens("[[],[[]],{\"\":\"\"}]"), "[ [ ] [ [ ] ] { : '' } ] $");
  EXPECT_EQ(tokens(R"({"a":1,"a":2})"), "{ a: 1 a: 2 } $");
}

TEST(JsonReader, UnescapesStrings) {
  EXPECT_EQ(tokens(R"("\"\\\/\b\f\n\r\t")"), "'\"\\/\b\f\n\r\t' $");
  EXPECT_EQ(tokens(R"("aA\u00e9\u20ac\ud83d\ude00b")"), "'aAé€😀b' $");
  EXPECT_EQ(tokens("\"é€😀\""), "'é€😀' $");
  EXPECT_EQ(tokens(R"("\u0000")"), std::string("'\0' $", 5));
}

TEST(JsonReader, RefusesWhatRfc8259Refuses) {
  const std::vector<std::string> bad = {
      "", " ", "{", "[", "]", "}", "[1", "[1,", "[1,]", "[,1]", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{a:1}", "{'a':1}",
      "{\"a\" 1}", "{1:1}", "[1 2]", "{\"a\":1 \"b\":2}", "[1}", "{\"a\":1]", "nul", "nulL", "tru", "True", "01", "-",
      "-01", "+1", ".5", "1.", "1.e1", "1e", "1e+", "0x10", "NaN", "Infinity", "\"", "\"a", "\"\\", "\"\\x\"", "\"\\u12\"",
      "\"\\u12g4\"", "\"\\ud800\"", "\"\\ud800x\"", "\"\\ud800\\u0041\"", "\"\\udc00\"", "\"\n\"", "\"\t\"", "1 2", "1,",
      "//x\n1", "/**/1", "\xEF\xBB\xBF" "1", "\"\xff\"", "\"\xc0\xaf\"", "\"\xed\xa0\x80\"", "\"\\n\xff\"", "\v1", "1\f"};
  for (const std::string& text : bad) {
    const std::string got = tokens(text);
    EXPECT_NE(got.find('!'), std::string::npos) << "accepted: " << text << " as " << got;
  }
  EXPECT_NE(tokens(std::string("1\0", 2)).find('!'), std::string::npos);
  EXPECT_NE(tokens(std::string("\"\0\"", 3)).find('!'), std::string::npos);
}

TEST(JsonReader, SaysWhereAndWhat) {
  EXPECT_EQ(tokens("{\n  \"a\": 1\n  \"b\": 2\n}"), "{ a: 1 ! line 3, column 3: expected ',' or '}' after a value, found '\"'");
  EXPECT_EQ(tokens("[1,\n"), "[ 1 ! line 2, column 1: expected a value, found the end of the text");
  EXPECT_EQ(tokens("\"a\x01\""), "! line 1, column 3: a control character in a string must be escaped, found byte 0x01");
  Reader reader("[1,\n \"two\"]");
  reader.next();
  reader.next();
  ASSERT_EQ(reader.next(), Kind::kString);
  EXPECT_EQ(reader.error_here("expected a number").message(), "line 2, column 2: expected a number");
  EXPECT_EQ(reader.token_offset(), 5u);
}

TEST(JsonReader, StaysFailed) {
  Reader reader("[1 2]");
  while (reader.next() != Kind::kError) {
  }
  const std::string first = reader.error().message();
  EXPECT_EQ(reader.next(), Kind::kError);
  EXPECT_EQ(reader.error().message(), first);
}

TEST(JsonReader, HasLimits) {
  const std::string deep = std::string(10000, '[') + std::string(10000, ']');
  Reader reader(deep, {.max_depth = 64});
  int opened = 0;
  while (reader.next() == Kind::kArray) ++opened;
  EXPECT_EQ(opened, 64);
  EXPECT_EQ(reader.error().code(), Code::kExhausted);
  EXPECT_EQ(reader.error().message(), "line 1, column 65: nested deeper than the limit");

  EXPECT_EQ(tokens("[[]]", {.max_depth = 2}), "[ [ ] ] $");
  Reader large("[1,2,3]", {.max_bytes = 6});
  EXPECT_EQ(large.next(), Kind::kError);
  EXPECT_EQ(large.error().code(), Code::kExhausted);
  // A limit above what the reader can count is cut, not trusted.
  const std::string deeper = std::string(5000, '[');
  Reader wide(deeper, {.max_depth = 1000000});
  while (wide.next() != Kind::kError) {
  }
  EXPECT_EQ(wide.depth(), Reader::kMaxDepth);
}

Reader number_of(std::string_view text) {
  Reader reader(text);
  EXPECT_EQ(reader.next(), Kind::kNumber) << text;
  return reader;
}

TEST(JsonReader, IntegersAreExact) {
  EXPECT_EQ(number_of("9223372036854775807").integer(), std::numeric_limits<int64_t>::max());
  EXPECT_EQ(number_of("-9223372036854775808").integer(), std::numeric_limits<int64_t>::min());
  EXPECT_EQ(number_of("9223372036854775808").integer(), std::nullopt);
  EXPECT_EQ(number_of("18446744073709551615").unsigned_integer(), std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(number_of("-1").unsigned_integer(), std::nullopt);
  EXPECT_EQ(number_of("1.0").integer(), std::nullopt);
  EXPECT_EQ(number_of("1e3").integer(), std::nullopt);
  EXPECT_EQ(number_of("9007199254740993").integer(), 9007199254740993);
  EXPECT_EQ(number_of("1e3").number(), 1000.0);
  EXPECT_EQ(number_of("-2.5").number(), -2.5);
  EXPECT_EQ(number_of("1e400").number(), std::numeric_limits<double>::infinity());
  EXPECT_EQ(number_of("-1e400").number(), -std::numeric_limits<double>::infinity());
  EXPECT_EQ(number_of("1e-400").number(), 0.0);
}

TEST(JsonReader, SkipsWholeValues) {
  Reader reader(R"({"a":{"x":[1,{"y":2}]},"b":[[]],"c":3,"d":"e"})");
  ASSERT_EQ(reader.next(), Kind::kObject);
  for (const char* name : {"a", "b", "c"}) {
    ASSERT_EQ(reader.next(), Kind::kKey);
    EXPECT_EQ(reader.text(), name);
    EXPECT_TRUE(reader.skip());
  }
  ASSERT_EQ(reader.next(), Kind::kKey);
  ASSERT_EQ(reader.next(), Kind::kString);
  EXPECT_EQ(reader.text(), "e");
  EXPECT_TRUE(reader.skip());
  EXPECT_EQ(reader.next(), Kind::kObjectEnd);
  EXPECT_EQ(reader.next(), Kind::kEnd);

  Reader broken("[[1,}]");
  ASSERT_EQ(broken.next(), Kind::kArray);
  ASSERT_EQ(broken.next(), Kind::kArray);
  EXPECT_FALSE(broken.skip());
}

// Every prefix and every one-byte change of a text ends in kEnd or kError, soon, without touching memory that is not the
// text (the asan tree watches).
TEST(JsonReader, SurvivesMutations) {
  const std::string text = R"({"a":[1,-2.5e3,"x\u00e9\ud83d\ude00\n",true],"b":{"c":null}})";
  size_t accepted = 0;
  for (size_t at = 0; at < text.size(); ++at) {
    for (int byte = 0; byte < 256; ++byte) {
      std::string mutant = text;
      mutant[at] = static_cast<char>(byte);
      for (const std::string& input : {mutant, mutant.substr(0, at)}) {
        Reader reader(input);
        size_t steps = 0;
        Kind kind = Kind::kNull;
        while ((kind = reader.next()) != Kind::kEnd && kind != Kind::kError) ASSERT_LT(++steps, 100u);
        accepted += kind == Kind::kEnd;
      }
    }
  }
  EXPECT_GT(accepted, text.size());  // at least the unchanged text, once for each place
}

}  // namespace
}  // namespace steppe::json
