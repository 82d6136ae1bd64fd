#include "agent/model/cron.h"

#include <algorithm>
#include <format>

#include "agent/model/quoted.h"
#include "agent/schema/job.pb.h"
#include "init/base/text.h"

namespace steppe::model {
namespace {

namespace chrono = std::chrono;

constexpr int kFirstYear = 1970;
constexpr int kLastYear = 2199;

constexpr std::array<std::string_view, 12> kMonthNames = {"jan", "feb", "mar", "apr", "may", "jun",
                                                          "jul", "aug", "sep", "oct", "nov", "dec"};
constexpr std::array<std::string_view, 7> kDayNames = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};

struct Range {
  std::string_view field;
  int low;
  int high;
  std::span<const std::string_view> names;  // of low, low + 1, ...
};

Error bad(const Range& range, std::string_view item) {
  return Error(Code::kInvalid, std::format("syntax error in {} field: {}", range.field, go_quoted(item)));
}

Result<int> value_of(const Range& range, std::string_view text) {
  const std::string small = lower(text);
  for (size_t i = 0; i < range.names.size(); ++i) {
    if (small == range.names[i]) return range.low + static_cast<int>(i);
  }
  const auto number = parse_uint(text);
  if (!number.ok() || *number > 9999) return bad(range, text);
  const int value = static_cast<int>(*number);
  if (value < range.low || value > range.high) {
    return Error(Code::kInvalid, std::format("{} field: {} is not between {} and {}", range.field, value, range.low, range.high));
  }
  return value;
}

// One item of a list: "*", "5", "1-5", "*/10", "1-30/5", "7/5". Calls `set` for each value.
template <class Set>
Result<> parse_item(const Range& range, std::string_view item, Set set) {
  int step = 1;
  std::string_view span = item;
  const size_t slash = item.find('/');
  if (slash != std::string_view::npos) {
    span = item.substr(0, slash);
    const auto number = parse_uint(item.substr(slash + 1));
    if (!number.ok() || *number < 1 || *number > 9999) return bad(range, item);
    step = static_cast<int>(*number);
  }
  int first = range.low;
  int last = range.high;
  if (span != "*" && span != "?") {
    const size_t dash = span.find('-');
    STEPPE_TRY(first, value_of(range, span.substr(0, dash)));
    if (dash != std::string_view::npos) {
      STEPPE_TRY(last, value_of(range, span.substr(dash + 1)));
      if (last < first) return bad(range, item);
    } else if (slash == std::string_view::npos) {
      last = first;
    }
  }
  for (int value = first; value <= last; value += step) set(value);
  return {};
}

template <size_t N>
Result<> parse_field(const Range& range, std::string_view text, std::bitset<N>* out, int base = 0) {
  for (const std::string_view item : split(text, ',')) {
    STEPPE_TRY_VOID(parse_item(range, item, [&](int value) { out->set(static_cast<size_t>(value - base)); }));
  }
  return {};
}

constexpr Range kSeconds{"second", 0, 59, {}};
constexpr Range kMinutes{"minute", 0, 59, {}};
constexpr Range kHours{"hour", 0, 23, {}};
constexpr Range kDays{"day-of-month", 1, 31, {}};
constexpr Range kMonths{"month", 1, 12, kMonthNames};
constexpr Range kWeekDays{"day-of-week", 0, 7, kDayNames};
constexpr Range kYears{"year", kFirstYear, kLastYear, {}};

struct Alias {
  std::string_view name;
  std::string_view text;
};
constexpr std::array kAliases = {
    Alias{"@yearly", "0 0 0 1 1 * *"}, Alias{"@annually", "0 0 0 1 1 * *"}, Alias{"@monthly", "0 0 0 1 * * *"},
    Alias{"@weekly", "0 0 0 * * 0 *"}, Alias{"@daily", "0 0 0 * * * *"},    Alias{"@midnight", "0 0 0 * * * *"},
    Alias{"@hourly", "0 0 * * * * *"},
};

std::vector<std::string_view> words(std::string_view text) {
  std::vector<std::string_view> out;
  size_t at = 0;
  while ((at = text.find_first_not_of(" \t", at)) != std::string_view::npos) {
    const size_t end = std::min(text.find_first_of(" \t", at), text.size());
    out.push_back(text.substr(at, end - at));
    at = end;
  }
  return out;
}

unsigned last_day(chrono::year year, chrono::month month) {
  return static_cast<unsigned>((year / month / chrono::last).day());
}

// The working day nearest to the day, within its month.
unsigned nearest_work_day(chrono::year year, chrono::month month, unsigned day) {
  const unsigned last = last_day(year, month);
  day = std::min(day, last);
  const chrono::weekday week_day{chrono::sys_days(year / month / chrono::day(day))};
  if (week_day == chrono::Saturday) return day > 1 ? day - 1 : day + 2;
  if (week_day == chrono::Sunday) return day < last ? day + 1 : day - 2;
  return day;
}

}  // namespace

Result<UtcOffset> find_time_zone(std::string_view name) {
  if (name.empty() || name == "UTC") return UtcOffset([](WallTime) { return chrono::seconds(0); });
  try {
    const chrono::time_zone* zone = name == "Local" ? chrono::current_zone() : chrono::locate_zone(name);
    return UtcOffset([zone](WallTime at) {
      return zone->get_info(chrono::sys_seconds(chrono::floor<chrono::seconds>(chrono::nanoseconds(at.unix_ns)))).offset;
    });
  } catch (const std::runtime_error&) {
    return Error(Code::kNotFound, std::format("unknown time zone {}", name));
  }
}

Result<> CronExpression::parse_days(std::string_view text) {
  for (const std::string_view item : split(text, ',')) {
    if (item == "L" || item == "l") {
      days_.last = true;
    } else if (item == "LW" || item == "lw") {
      days_.last_work = true;
    } else if (item.size() > 1 && (item.back() == 'W' || item.back() == 'w')) {
      STEPPE_TRY(const int day, value_of(kDays, item.substr(0, item.size() - 1)));
      days_.nearest_work.set(static_cast<size_t>(day));
    } else {
      STEPPE_TRY_VOID(parse_item(kDays, item, [&](int day) { days_.plain.set(static_cast<size_t>(day)); }));
    }
  }
  days_.any = text.front() == '*' || text.front() == '?';
  return {};
}

Result<> CronExpression::parse_week_days(std::string_view text) {
  for (const std::string_view item : split(text, ',')) {
    const size_t sharp = item.find('#');
    if (sharp != std::string_view::npos) {
      STEPPE_TRY(const int day, value_of(kWeekDays, item.substr(0, sharp)));
      const auto nth = parse_uint(item.substr(sharp + 1));
      if (!nth.ok() || *nth < 1 || *nth > 5) return bad(kWeekDays, item);
      week_days_.nth[static_cast<size_t>(day % 7)].set(static_cast<size_t>(*nth));
    } else if (item.size() > 1 && (item.back() == 'L' || item.back() == 'l')) {
      STEPPE_TRY(const int day, value_of(kWeekDays, item.substr(0, item.size() - 1)));
      week_days_.last.set(static_cast<size_t>(day % 7));
    } else {
      STEPPE_TRY_VOID(parse_item(kWeekDays, item, [&](int day) { week_days_.plain.set(static_cast<size_t>(day % 7)); }));
    }
  }
  week_days_.any = text.front() == '*' || text.front() == '?';
  return {};
}

Result<CronExpression> CronExpression::parse(std::string_view text) {
  for (const Alias& alias : kAliases) {
    if (trim(text) == alias.name) text = alias.text;
  }
  std::vector<std::string_view> fields = words(text);
  if (fields.size() < 5) return Error(Code::kInvalid, "missing field(s): expected 5, 6 or 7");
  if (fields.size() > 7) return Error(Code::kInvalid, "too many fields: expected 5, 6 or 7");
  if (fields.size() < 7) fields.insert(fields.begin(), "0");
  if (fields.size() < 7) fields.push_back("*");
  CronExpression cron;
  STEPPE_TRY_VOID(parse_field(kSeconds, fields[0], &cron.seconds_));
  STEPPE_TRY_VOID(parse_field(kMinutes, fields[1], &cron.minutes_));
  STEPPE_TRY_VOID(parse_field(kHours, fields[2], &cron.hours_));
  STEPPE_TRY_VOID(cron.parse_days(fields[3]));
  STEPPE_TRY_VOID(parse_field(kMonths, fields[4], &cron.months_));
  STEPPE_TRY_VOID(cron.parse_week_days(fields[5]));
  STEPPE_TRY_VOID(parse_field(kYears, fields[6], &cron.years_, kFirstYear));
  return cron;
}

bool CronExpression::day_matches(chrono::year_month_day date) const {
  const unsigned day = static_cast<unsigned>(date.day());
  const unsigned last = last_day(date.year(), date.month());
  bool by_day = days_.plain.test(day) || (days_.last && day == last) ||
                (days_.last_work && day == nearest_work_day(date.year(), date.month(), last));
  for (unsigned wanted = 1; wanted <= 31 && !by_day && days_.nearest_work.any(); ++wanted) {
    by_day = days_.nearest_work.test(wanted) && day == nearest_work_day(date.year(), date.month(), wanted);
  }
  const unsigned week_day = chrono::weekday(chrono::sys_days(date)).c_encoding();
  const bool by_week_day = week_days_.plain.test(week_day) || (week_days_.last.test(week_day) && day + 7 > last) ||
                           week_days_.nth[week_day].test((day - 1) / 7 + 1);
  if (days_.any) return by_week_day;
  if (week_days_.any) return by_day;
  return by_day || by_week_day;
}

std::optional<WallTime> CronExpression::next(WallTime after, const UtcOffset& offset) const {
  const auto local_of = [&](WallTime at) {
    return chrono::sys_seconds(chrono::floor<chrono::seconds>(chrono::nanoseconds(at.unix_ns)) + offset(at));
  };
  // The instant at which local clocks show `local`; nullopt for a time that a change of the clocks skips. Of two, the
  // first.
  const auto instant_of = [&](chrono::sys_seconds local) -> std::optional<WallTime> {
    const WallTime naive{chrono::nanoseconds(local.time_since_epoch()).count()};
    std::optional<WallTime> found;
    for (const int hours : {-26, 26}) {
      const WallTime guess = naive + -Duration(offset(naive + chrono::hours(hours)));
      if (local_of(guess) == local && (!found || guess < *found)) found = guess;
    }
    return found;
  };
  const chrono::sys_seconds start = local_of(after) + chrono::seconds(1);
  for (chrono::sys_days day = chrono::floor<chrono::days>(start);; day += chrono::days(1)) {
    const chrono::year_month_day date(day);
    const int year = static_cast<int>(date.year());
    if (year > kLastYear) return std::nullopt;
    if (year < kFirstYear || !years_.test(static_cast<size_t>(year - kFirstYear))) {
      day = chrono::sys_days(date.year() / chrono::December / 31);
      continue;
    }
    if (!months_.test(static_cast<unsigned>(date.month()))) {
      day = chrono::sys_days(date.year() / date.month() / chrono::last);
      continue;
    }
    if (!day_matches(date)) continue;
    for (size_t hour = 0; hour < 24; ++hour) {
      if (!hours_.test(hour) || day + chrono::hours(hour + 1) <= start) continue;
      for (size_t minute = 0; minute < 60; ++minute) {
        if (!minutes_.test(minute) || day + chrono::hours(hour) + chrono::minutes(minute + 1) <= start) continue;
        for (size_t second = 0; second < 60; ++second) {
          if (!seconds_.test(second)) continue;
          const auto local = day + chrono::hours(hour) + chrono::minutes(minute) + chrono::seconds(second);
          if (local < start) continue;
          const auto instant = instant_of(local);
          if (instant && *instant > after) return instant;
        }
      }
    }
  }
}

Result<std::optional<WallTime>> next_launch(const schema::PeriodicConfig& periodic, WallTime after) {
  std::optional<WallTime> earliest;
  if (!periodic.enabled()) return earliest;
  STEPPE_TRY(const UtcOffset offset, find_time_zone(periodic.time_zone()));
  std::vector<std::string> specs(periodic.specs().begin(), periodic.specs().end());
  if (!periodic.spec().empty()) specs.push_back(periodic.spec());
  for (const std::string& spec : specs) {
    STEPPE_TRY(const CronExpression cron, CronExpression::parse(spec));
    const auto next = cron.next(after, offset);
    if (next && (!earliest || *next < *earliest)) earliest = next;
  }
  return earliest;
}

}  // namespace steppe::model
