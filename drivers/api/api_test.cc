#include <gtest/gtest.h>

#include "drivers/api/config_value.h"
#include "drivers/api/task_handle.h"

namespace steppe::drivers {
namespace {

TaskHandle sample() { return {"exec", "a1.web.0", "/run/x", "steppe.slice/a1.web", 10, 11, WallTime{123}, "d"}; }

TEST(TaskHandle, round_trip) {
  auto back = TaskHandle::decode(as_bytes(sample().encode()));
  ASSERT_TRUE(back.ok()) << back.error().message();
  EXPECT_EQ(*back, sample());
}

// Version 1 as the first release wrote it: it must be read for ever.
TEST(TaskHandle, fixture_of_version_1) {
  const char* fixture =
      "53544631010001007e0000005635664d010000000400000065786563020000000800000061312e77"
      "65622e3003000000060000002f72756e2f7804000000130000007374657070652e736c6963652f61"
      "312e77656205000000080000000a0000000000000006000000080000000b00000000000000070000"
      "00080000007b00000000000000080000000100000064";
  EXPECT_EQ(hex(as_bytes(sample().encode())), fixture);
  auto bytes = unhex(fixture);
  ASSERT_TRUE(bytes.ok());
  auto back = TaskHandle::decode(as_bytes(*bytes));
  ASSERT_TRUE(back.ok()) << back.error().message();
  EXPECT_EQ(*back, sample());
}

TEST(TaskHandle, damage_is_corrupt) {
  std::string bytes = sample().encode();
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string bad = bytes;
    bad[i] = static_cast<char>(bad[i] ^ 0x40);
    EXPECT_FALSE(TaskHandle::decode(as_bytes(bad)).ok()) << i;
    auto cut = TaskHandle::decode(as_bytes(bytes).first(i));
    ASSERT_FALSE(cut.ok());
    EXPECT_EQ(cut.error().code(), Code::kCorrupt);
  }
}

struct Case {
  const char* name;
  ConfigMap config;
  const char* error;  // a part of the message; "" when it is fine
};

TEST(ConfigReader, table) {
  const Case cases[] = {
      {"fine", {{"command", "/bin/true"}, {"args", ConfigList{"a", 1, true}}}, ""},
      {"missing", {}, "config key \"command\": is required"},
      {"empty", {{"command", ""}}, "config key \"command\": must not be empty"},
      {"wrong type", {{"command", 3}}, "config key \"command\": expected a string, found an integer"},
      {"list in list", {{"command", "x"}, {"args", ConfigList{ConfigMap{}}}}, "\"args\": expected a list of strings, found a map"},
      {"not a list", {{"command", "x"}, {"args", "y"}}, "\"args\": expected a list of strings, found a string"},
      {"unknown", {{"command", "x"}, {"comand", "y"}}, "config key \"comand\" is not known; known are: args, command, mode, n"},
      {"choice", {{"command", "x"}, {"mode", "hosts"}}, "\"mode\": must be \"private\" or \"host\", found \"hosts\""},
      {"range", {{"command", "x"}, {"n", 11}}, "\"n\": must be 0 to 10, found 11"},
      {"null is absent", {{"command", "x"}, {"n", ConfigValue()}}, ""},
      {"number in a string", {{"command", "x"}, {"n", "7"}}, ""},
  };
  for (const Case& c : cases) {
    ConfigReader read(c.config, "exec");
    read.required_text("command");
    read.text_list("args");
    read.choice("mode", {"private", "host"}, "private");
    read.integer("n", 0, 0, 10);
    auto result = read.finish();
    if (*c.error == '\0') {
      EXPECT_TRUE(result.ok()) << c.name << ": " << result.error().message();
    } else {
      ASSERT_FALSE(result.ok()) << c.name;
      EXPECT_NE(result.error().message().find(c.error), std::string::npos) << c.name << ": " << result.error().message();
    }
  }
}

}  // namespace
}  // namespace steppe::drivers
