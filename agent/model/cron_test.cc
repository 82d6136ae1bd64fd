#include "agent/model/cron.h"

#include <string>
#include <vector>

#include "agent/schema/job.pb.h"
#include "gtest/gtest.h"
#include "init/base/text.h"

namespace steppe::model {
namespace {

WallTime at(std::string_view text) {
  const auto time = parse_rfc3339(text);
  EXPECT_TRUE(time.ok()) << text;
  return *time;
}

std::string next(std::string_view cron, std::string_view after, const UtcOffset& offset) {
  const auto parsed = CronExpression::parse(cron);
  if (!parsed.ok()) return parsed.error().message();
  const auto found = parsed->next(at(after), offset);
  return found ? format_rfc3339(*found) : "never";
}
std::string next(std::string_view cron, std::string_view after) { return next(cron, after, *find_time_zone("UTC")); }

struct Row {
  const char* cron;
  const char* after;
  const char* expected;
};

TEST(Cron, Next) {
  const std::vector<Row> table = {
      {"* * * * *", "2026-11-21T11:16:05.5Z", "2026-11-21T11:17:00Z"},
      {"* * * * *", "2026-11-21T11:16:00Z", "2026-11-21T11:17:00Z"},
      {"*/15 * * * *", "2026-11-21T11:16:05Z", "2026-11-21T11:30:00Z"},
      {"0 3 * * *", "2026-11-21T11:16:05Z", "2026-11-22T03:00:00Z"},
      {"@daily", "2026-12-31T00:00:00Z", "2027-01-01T00:00:00Z"},
      {"@hourly", "2026-12-31T23:59:59Z", "2027-01-01T00:00:00Z"},
      {"@weekly", "2026-11-21T11:16:05Z", "2026-11-22T00:00:00Z"},
      {"@monthly", "2026-11-21T11:16:05Z", "2026-12-01T00:00:00Z"},
      {"@yearly", "2026-11-21T11:16:05Z", "2027-01-01T00:00:00Z"},
      {"0 0 29 2 *", "2026-11-21T00:00:00Z", "2028-02-29T00:00:00Z"},
      {"0 0 31 4 *", "2026-11-21T00:00:00Z", "never"},
      {"0 9-17/4 * * MON-FRI", "2026-11-20T17:00:00Z", "2026-11-23T09:00:00Z"},
      {"0 0 * * 7", "2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z"},
      {"5,10 1 * jan,MAR *", "2026-01-31T01:10:00Z", "2026-03-01T01:05:00Z"},
      // Both day fields: either may match.
      {"0 0 13 * FRI", "2026-11-21T00:00:00Z", "2026-11-27T00:00:00Z"},
      {"0 0 13 * FRI", "2026-12-12T00:00:00Z", "2026-12-13T00:00:00Z"},
      {"0 0 ? * FRI", "2026-11-28T00:00:00Z", "2026-12-04T00:00:00Z"},
      {"0 0 L * *", "2026-02-01T00:00:00Z", "2026-02-28T00:00:00Z"},
      {"0 0 LW * *", "2026-05-01T00:00:00Z", "2026-05-29T00:00:00Z"},  // the 31st is a Sunday
      {"0 0 1W * *", "2026-07-31T12:00:00Z", "2026-08-03T00:00:00Z"},  // the 1st is a Saturday
      {"0 0 15W * *", "2026-11-01T00:00:00Z", "2026-11-16T00:00:00Z"}, // the 15th is a Sunday
      {"0 0 * * 5L", "2026-11-01T00:00:00Z", "2026-11-27T00:00:00Z"},
      {"0 0 * * MON#1", "2026-11-03T00:00:00Z", "2026-12-07T00:00:00Z"},
      // Six fields end with the year; seven begin with the second.
      {"0 0 1 1 * 2030", "2026-11-21T00:00:00Z", "2030-01-01T00:00:00Z"},
      {"0 0 1 1 * 2020", "2026-11-21T00:00:00Z", "never"},
      {"*/20 * * * * * *", "2026-11-21T11:16:05Z", "2026-11-21T11:16:20Z"},
      {"5/20 * * * * * *", "2026-11-21T11:16:05Z", "2026-11-21T11:16:25Z"},
  };
  for (const Row& row : table) EXPECT_EQ(next(row.cron, row.after), row.expected) << row.cron << " after " << row.after;
}

TEST(Cron, ClockChanges) {
  // One hour forward at 02:00 on 2026-03-29, back at 03:00 on 2026-10-25: central Europe, without its database.
  const UtcOffset berlin = [](WallTime time) {
    const bool summer = time >= at("2026-03-29T01:00:00Z") && time < at("2026-10-25T01:00:00Z");
    return std::chrono::hours(summer ? 2 : 1);
  };
  EXPECT_EQ(next("30 3 * * *", "2026-03-28T12:00:00Z", berlin), "2026-03-29T01:30:00Z");
  EXPECT_EQ(next("30 2 * * *", "2026-03-28T12:00:00Z", berlin), "2026-03-30T00:30:00Z");  // 02:30 does not exist
  EXPECT_EQ(next("30 2 * * *", "2026-10-24T12:00:00Z", berlin), "2026-10-25T00:30:00Z");  // the first of two
  EXPECT_EQ(next("30 2 * * *", "2026-10-25T00:30:00Z", berlin), "2026-10-26T01:30:00Z");  // not again
}

TEST(Cron, Refuses) {
  for (const char* bad : {"", "* * * *", "* * * * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * 32 * *", "* * * 13 *",
                          "* * * * 8", "a * * * *", "5-1 * * * *", "*/0 * * * *", "1,,2 * * * *", "@sometimes", "1- * * * *",
                          "* * W * *", "* * * * 1#6", "* * * * * 1969"}) {
    EXPECT_FALSE(CronExpression::parse(bad).ok()) << bad;
  }
}

TEST(Cron, EarliestOfAll) {
  schema::PeriodicConfig periodic;
  periodic.set_enabled(true);
  periodic.set_time_zone("UTC");
  periodic.add_specs("0 12 * * *");
  periodic.add_specs("0 6 * * *");
  const auto launch = next_launch(periodic, at("2026-11-21T11:00:00Z"));
  ASSERT_TRUE(launch.ok());
  EXPECT_EQ(*launch, at("2026-11-21T12:00:00Z"));
  periodic.set_enabled(false);
  EXPECT_EQ(*next_launch(periodic, at("2026-11-21T11:00:00Z")), std::nullopt);
  periodic.set_enabled(true);
  periodic.set_time_zone("Mars/Olympus");
  EXPECT_FALSE(next_launch(periodic, at("2026-11-21T11:00:00Z")).ok());
}

}  // namespace
}  // namespace steppe::model
