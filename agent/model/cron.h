#pragma once

#include <array>
#include <bitset>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "init/base/clock.h"
#include "init/base/result.h"

namespace steppe::schema {
class PeriodicConfig;
}

// Cron expressions of periodic jobs.
namespace steppe::model {

// How far local time is ahead of UTC at an instant.
using UtcOffset = std::function<std::chrono::seconds(WallTime)>;

// The rules of a zone by its tz database name; "" and "UTC" need no database, "Local" is the machine's zone. kNotFound
// for an unknown name. Reads the system's tz database.
Result<UtcOffset> find_time_zone(std::string_view name);

// Five fields (minute hour day-of-month month day-of-week), six (plus year) or seven (seconds first), or @hourly @daily
// @midnight @weekly @monthly @yearly @annually. Lists, ranges, steps, names (JAN, MON), '?', L, LW, nW, nL and n#m. With
// both day fields restricted, either may match.
class CronExpression {
 public:
  static Result<CronExpression> parse(std::string_view text);

  // The first matching local instant after `after`; nullopt when there is none before the year 2200. Local times that a
  // clock change skips do not exist; those that it repeats match once.
  std::optional<WallTime> next(WallTime after, const UtcOffset& offset) const;

 private:
  struct Days {
    std::bitset<32> plain;         // day of month 1..31
    std::bitset<32> nearest_work;  // nW
    bool last = false;             // L
    bool last_work = false;        // LW
    bool any = false;
  };
  struct WeekDays {
    std::bitset<7> plain;               // 0 = Sunday
    std::bitset<7> last;                // nL
    std::array<std::bitset<6>, 7> nth;  // n#m
    bool any = false;
  };
  bool day_matches(std::chrono::year_month_day day) const;
  Result<> parse_days(std::string_view text);
  Result<> parse_week_days(std::string_view text);

  std::bitset<60> seconds_;
  std::bitset<60> minutes_;
  std::bitset<24> hours_;
  std::bitset<13> months_;
  std::bitset<300> years_;  // since 1970
  Days days_;
  WeekDays week_days_;
};

// The earliest next launch over all of the job's expressions; nullopt when disabled or never. kInvalid when one does not
// parse.
Result<std::optional<WallTime>> next_launch(const schema::PeriodicConfig& periodic, WallTime after);

}  // namespace steppe::model
