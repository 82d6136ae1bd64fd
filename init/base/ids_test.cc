#include "init/base/ids.h"

#include <gtest/gtest.h>

namespace steppe {
namespace {

TEST(Uuid, TextAndBack) {
  SeededRng rng(1);
  for (int i = 0; i < 100; ++i) {
    const Uuid id = Uuid::random(rng);
    const std::string text = id.text();
    ASSERT_EQ(text.size(), 36u);
    EXPECT_EQ(text[14], '4');
    auto parsed = Uuid::parse(text);
    ASSERT_TRUE(parsed.ok());
    EXPECT_EQ(*parsed, id);
  }
  EXPECT_EQ(Uuid::parse("00112233-4455-6677-8899-aabbccddeeff")->text(), "00112233-4455-6677-8899-aabbccddeeff");
  EXPECT_EQ(Uuid::parse("00112233-4455-6677-8899-AABBCCDDEEFF")->text(), "00112233-4455-6677-8899-aabbccddeeff");
}

TEST(Uuid, RefusesOtherText) {
  for (const char* text : {"", "00112233-4455-6677-8899-aabbccddeef", "00112233-4455-6677-8899-aabbccddeefff",
                           "0011223344556677-8899-aabbccddeeff-00", "00112233-4455-6677-8899-aabbccddeefg",
                           "00112233-4455-6677-8899--abbccddeeff", "001122334-455-6677-8899-aabbccddeeff"}) {
    auto parsed = Uuid::parse(text);
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_EQ(parsed.error().code(), Code::kInvalid);
  }
}

}  // namespace
}  // namespace steppe
