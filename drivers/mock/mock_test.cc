#include "drivers/mock/mock_driver.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>

namespace steppe::mock {
namespace {

struct FixedClock : Clock {
  MonoTime now() const override { return {1}; }
  WallTime wall() const override { return {2}; }
};

drivers::TaskConfig config(const std::string& id, drivers::ConfigMap map) {
  drivers::TaskConfig out;
  out.id = id;
  out.config = std::move(map);
  return out;
}

bool waits(drivers::Task& task, int ms) {
  pollfd one = {task.wait_fd(), POLLIN, 0};
  return ::poll(&one, 1, ms) == 1;
}

TEST(Mock, ends_by_itself_with_its_code) {
  FixedClock clock;
  auto driver = make_driver(clock);
  auto task = driver->start(config("a", {{"run_for", "1ms"}, {"exit_code", 3}}));
  ASSERT_TRUE(task.ok());
  ASSERT_TRUE(waits(**task, 10'000));
  EXPECT_EQ((*task)->reap()->code, 3);
}

TEST(Mock, runs_until_stopped_and_is_found_again) {
  FixedClock clock;
  auto driver = make_driver(clock);
  auto task = driver->start(config("a", {}));
  ASSERT_TRUE(task.ok());
  EXPECT_FALSE(waits(**task, 0));
  EXPECT_EQ(driver->start(config("a", {})).error().code(), Code::kExists);
  auto handle = (*task)->handle();
  task->reset();
  auto again = driver->recover(handle);
  ASSERT_TRUE(again.ok());
  ASSERT_TRUE((*again)->stop(SIGTERM, std::chrono::seconds(1)).ok());
  ASSERT_TRUE(waits(**again, 10'000));
  EXPECT_EQ((*again)->reap()->signal, SIGTERM);
  ASSERT_TRUE((*again)->destroy().ok());
  EXPECT_EQ(driver->recover(handle).error().code(), Code::kNotFound);
}

TEST(Mock, plays_the_ignorer) {
  FixedClock clock;
  auto driver = make_driver(clock);
  auto task = driver->start(config("a", {{"kill_after", "1h"}, {"signal_error", "no signals today"}}));
  ASSERT_TRUE(task.ok());
  EXPECT_EQ((*task)->signal(SIGHUP).error().message(), "no signals today");
  ASSERT_TRUE((*task)->stop(SIGTERM, std::chrono::milliseconds(1)).ok());
  ASSERT_TRUE(waits(**task, 10'000));
  EXPECT_EQ((*task)->reap()->signal, SIGKILL);
}

TEST(Mock, start_errors_and_bad_keys) {
  FixedClock clock;
  auto driver = make_driver(clock);
  EXPECT_EQ(driver->start(config("a", {{"start_error", "boom"}})).error().code(), Code::kInvalid);
  EXPECT_EQ(driver->start(config("a", {{"start_error", "boom"}, {"start_error_recoverable", true}})).error().code(), Code::kUnavailable);
  auto bad = driver->validate({{"run_forr", "1s"}});
  ASSERT_FALSE(bad.ok());
  EXPECT_NE(bad.error().message().find("\"run_forr\" is not known"), std::string::npos);
}

}  // namespace
}  // namespace steppe::mock
