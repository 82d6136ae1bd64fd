#include "init/supervise/notice.h"

#include <gtest/gtest.h>

#include <string>

namespace steppe::supervise {
namespace {

TEST(Notice, reads_the_words_that_count) {
  Notice all = read_notice("READY=1\nSTATUS=three of five\nWATCHDOG=1\nX_OTHER=9\nSTOPPING=1\n");
  EXPECT_TRUE(all.ready && all.watchdog && all.stopping);
  EXPECT_FALSE(all.store || all.drop || all.refused_main_pid);
  EXPECT_EQ(all.status(), "three of five");
  Notice stored = read_notice("FDSTORE=1\nFDNAME=listener.api");
  EXPECT_TRUE(stored.store);
  EXPECT_EQ(stored.name(), "listener.api");
  EXPECT_TRUE(read_notice("FDSTOREREMOVE=1\nFDNAME=a").drop);
}

TEST(Notice, takes_nothing_that_only_looks_like_them) {
  for (const char* text : {"", "\n\n", "READY=0", "READY=11", " READY=1", "ready=1", "XREADY=1", "READY", "READY=1\r", "WATCHDOG=trigger", "=", "FDSTORE=2"}) {
    Notice notice = read_notice(text);
    EXPECT_FALSE(notice.ready || notice.watchdog || notice.stopping || notice.store || notice.drop) << text;
  }
}

TEST(Notice, holds_and_lets_go_by_the_last_word) {
  EXPECT_TRUE(read_notice("READY=1\nX_STEPPE_HOLD=1").hold);
  Notice both = read_notice("X_STEPPE_HOLD=1\nX_STEPPE_HOLD=0");
  EXPECT_TRUE(both.go_on && !both.hold);
  for (const char* text : {"STEPPE_HOLD=1", "X_STEPPE_HOLD=", "X_STEPPE_HOLD=2", "X_STEPPE_HOLD=10"}) {
    EXPECT_FALSE(read_notice(text).hold || read_notice(text).go_on) << text;
  }
}

TEST(Notice, main_pid_is_refused) { EXPECT_TRUE(read_notice("MAINPID=4711\nREADY=1").refused_main_pid); }

TEST(Notice, texts_are_bounded_and_cannot_drive_a_terminal) {
  Notice notice = read_notice("STATUS=\x1b[2Jhello\x07\xff" + std::string(500, 'x'));
  EXPECT_EQ(notice.status().substr(0, 11), "?[2Jhello??");
  EXPECT_EQ(notice.status().size(), Notice::kMaxStatus);
  for (const std::string& name : {std::string("a/b"), std::string("a:b"), std::string(64, 'n'), std::string("a b"), std::string()}) {
    EXPECT_EQ(read_notice("FDSTORE=1\nFDNAME=" + name).name(), "stored") << name;
  }
  EXPECT_FALSE(read_notice("READY=1\n" + std::string(Notice::kMaxBytes, 'x')).ready) << "cut by the kernel: not read at all";
}

}  // namespace
}  // namespace steppe::supervise
