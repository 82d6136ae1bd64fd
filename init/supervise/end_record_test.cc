#include "init/supervise/end_record.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace steppe::supervise {
namespace {

std::string content(const std::string& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

TEST(EndRecord, ComesBackAndIsWholeOrNothing) {
  const EndRecord record{.ending = "reboot", .reason = "ctrl-alt-del", .why = "an image\n\x1b[2J", .boot = "2c1d", .number = 3, .time_s = 1'793'491'200};
  const std::string text = encode_end(record);
  EXPECT_TRUE(text.starts_with("steppe-end 1\nending reboot\nreason 3 ctrl-alt-del\nwhy an image??[2J\ntime 1793491200\nboot 2c1d\ncrc32c ")) << text;
  Result<EndRecord> back = decode_end(text);
  ASSERT_TRUE(back.ok()) << back.error().message();
  EXPECT_EQ(back->reason, "ctrl-alt-del");
  EXPECT_EQ(back->number, 3U);
  EXPECT_EQ(back->why, "an image??[2J");
  EXPECT_EQ(back->time_s, 1'793'491'200);
  EXPECT_EQ(back->boot, "2c1d");
  for (size_t i = 0; i < text.size(); ++i) {
    std::string bad = text;
    bad[i] ^= 1;
    EXPECT_FALSE(decode_end(bad).ok()) << i;
    EXPECT_FALSE(decode_end(text.substr(0, i)).ok()) << i;
  }
  const EndRecord longest{.ending = std::string(900, 'e'), .reason = std::string(900, 'r'), .why = std::string(900, 'w'), .boot = std::string(900, 'b'), .number = 6, .time_s = INT64_MIN};
  ASSERT_TRUE(decode_end(encode_end(longest)).ok()) << "what is too long is cut";
}

TEST(EndRecord, TheChildWritesAllThatAMachineKeeps) {
  char name[] = "/tmp/steppe-end-XXXXXX";
  const std::string state = ::mkdtemp(name);
  std::vector<std::string> words = {"steppe-init", "record", "power-off", "1", "asked for", "because"};
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  EXPECT_EQ(run_record(6, argv.data(), state.c_str()), 0);
  EXPECT_TRUE(std::filesystem::is_empty(state)) << "a machine without a disk";
  std::filesystem::create_directory(state + "/log");
  EXPECT_EQ(run_record(6, argv.data(), state.c_str()), 0);
  Result<EndRecord> end = decode_end(content(state + "/log/end"));
  ASSERT_TRUE(end.ok());
  EXPECT_EQ(end->ending, "power-off");
  EXPECT_EQ(end->number, 1U);
  EXPECT_EQ(end->why, "because");
  EXPECT_EQ(end->boot.size(), 36U);
  EXPECT_TRUE(std::filesystem::exists(state + "/clock"));
  EXPECT_EQ(content(state + "/seed").size(), 84U);
  EXPECT_FALSE(std::filesystem::exists(state + "/log/end.new"));
  std::filesystem::remove_all(state);
}

}  // namespace
}  // namespace steppe::supervise
