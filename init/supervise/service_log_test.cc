#include "init/supervise/service_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace steppe::supervise {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<std::string> read_in_pieces(std::string_view text, size_t piece) {
  ErrorLines lines;
  std::vector<std::string> out;
  for (size_t at = 0; at < text.size(); at += piece) {
    lines.read(text.substr(at, piece), [&](std::string_view line) { out.emplace_back(line); });
  }
  return out;
}

TEST(ErrorLines, are_found_whatever_pieces_they_come_in) {
  constexpr std::string_view kText = "2026 [INFO]  fine\n2026 [ERROR] first: a=b\n\n[ERROR] second\n[ERROR] not ended";
  for (size_t piece = 1; piece <= kText.size(); ++piece) {
    EXPECT_THAT(read_in_pieces(kText, piece), ElementsAre("[ERROR] first: a=b", "[ERROR] second")) << piece;
  }
}

TEST(ErrorLines, what_is_past_the_bound_of_a_line_is_not_looked_at) {
  std::string late = std::string(ErrorLines::kMaxLine, 'x') + "[ERROR] late\n";
  EXPECT_THAT(read_in_pieces(late, 100), IsEmpty());
  std::string cut = "[ERROR] " + std::string(2'000, 'y') + "\n[ERROR] next\n";
  std::vector<std::string> found = read_in_pieces(cut, 33);
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].size(), ErrorLines::kMaxLine);
  EXPECT_EQ(found[1], "[ERROR] next");
}

}  // namespace
}  // namespace steppe::supervise
