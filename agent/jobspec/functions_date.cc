#include <chrono>
#include <format>

#include "agent/jobspec/function_families.h"
#include "init/base/text.h"

namespace steppe::jobspec {
namespace {

using hcl::Value;

// An RFC 3339 time with the offset that it was written in.
struct Stamp {
  std::chrono::sys_seconds utc;
  int64_t nanoseconds = 0;
  int offset_minutes = 0;
  bool zulu = true;

  std::chrono::sys_seconds local() const { return utc + std::chrono::minutes(offset_minutes); }
};

// `count` digits at `at`, which moves behind them; -1 when there are not as many.
int digits(std::string_view text, size_t& at, size_t count) {
  if (at + count > text.size()) return -1;
  int value = 0;
  for (size_t i = 0; i < count; ++i) {
    char c = text[at + i];
    if (c < '0' || c > '9') return -1;
    value = value * 10 + (c - '0');
  }
  at += count;
  return value;
}

bool take(std::string_view text, size_t& at, std::string_view any) {
  if (at >= text.size() || !any.contains(text[at])) return false;
  ++at;
  return true;
}

bool read_offset(std::string_view text, size_t& at, Stamp& stamp) {
  if (take(text, at, "Zz")) return true;
  if (at >= text.size() || (text[at] != '+' && text[at] != '-')) return false;
  int sign = text[at++] == '-' ? -1 : 1;
  int hours = digits(text, at, 2);
  if (!take(text, at, ":")) return false;
  int minutes = digits(text, at, 2);
  if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) return false;
  stamp.zulu = false;
  stamp.offset_minutes = sign * (hours * 60 + minutes);
  return true;
}

Result<Stamp> parse_stamp(std::string_view text) {
  auto fail = [&] {
    return invalid(std::format("not a valid RFC3339 timestamp: \"{}\", expected one like 2026-11-21T09:30:00Z",
                               text.substr(0, 64)));
  };
  size_t at = 0;
  int year = digits(text, at, 4);
  bool ok = take(text, at, "-");
  int month = digits(text, at, 2);
  ok = ok && take(text, at, "-");
  int day = digits(text, at, 2);
  ok = ok && take(text, at, "Tt");
  int hour = digits(text, at, 2);
  ok = ok && take(text, at, ":");
  int minute = digits(text, at, 2);
  ok = ok && take(text, at, ":");
  int second = digits(text, at, 2);
  if (!ok || year < 0 || hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59) return fail();
  std::chrono::year_month_day date{std::chrono::year(year),
                                   std::chrono::month(static_cast<unsigned>(std::max(month, 0))),
                                   std::chrono::day(static_cast<unsigned>(std::max(day, 0)))};
  if (!date.ok()) return fail();
  Stamp stamp;
  if (take(text, at, ".")) {
    int64_t scale = 100'000'000;
    size_t first = at;
    for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at, scale /= 10)
      stamp.nanoseconds += (text[at] - '0') * scale;
    if (at == first) return fail();
  }
  if (!read_offset(text, at, stamp) || at != text.size()) return fail();
  auto local = std::chrono::sys_days(date) + std::chrono::hours(hour) + std::chrono::minutes(minute) +
               std::chrono::seconds(second);
  stamp.utc = local - std::chrono::minutes(stamp.offset_minutes);
  return stamp;
}

std::string offset_text(const Stamp& stamp, std::string_view separator) {
  int minutes = std::abs(stamp.offset_minutes);
  return std::format("{}{:02}{}{:02}", stamp.offset_minutes < 0 ? '-' : '+', minutes / 60, separator, minutes % 60);
}

constexpr std::string_view kMonths[] = {"January", "February", "March",     "April",   "May",      "June",
                                        "July",    "August",   "September", "October", "November", "December"};
constexpr std::string_view kDays[] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};

class DateFormat {
 public:
  explicit DateFormat(const Stamp& stamp)
      : stamp_(stamp),
        date_(std::chrono::floor<std::chrono::days>(stamp.local())),
        weekday_(std::chrono::weekday(std::chrono::floor<std::chrono::days>(stamp.local())).c_encoding()),
        clock_(stamp.local() - std::chrono::floor<std::chrono::days>(stamp.local())) {}

  // `verb` is a run of one letter.
  Result<std::string> verb(std::string_view verb) const {
    size_t length = verb.size();
    auto number = [&](int64_t value) -> Result<std::string> {
      if (length > 2) return bad(verb, "one or two of these letters are expected");
      return length == 1 ? std::to_string(value) : std::format("{:02}", value);
    };
    int64_t hour = clock_.hours().count();
    switch (verb[0]) {
      case 'Y':
        if (length == 2) return std::format("{:02}", int(date_.year()) % 100);
        return length == 4 ? Result<std::string>(std::format("{:04}", int(date_.year())))
                           : bad(verb, "year must either be \"YY\" or \"YYYY\"");
      case 'M': {
        std::string_view name = kMonths[unsigned(date_.month()) - 1];
        if (length > 4) return bad(verb, "month must be \"M\", \"MM\", \"MMM\", or \"MMMM\"");
        return length == 3   ? std::string(name.substr(0, 3))
               : length == 4 ? std::string(name)
                             : number(unsigned(date_.month()));
      }
      case 'D': return number(unsigned(date_.day()));
      case 'E':
        if (length == 3) return std::string(kDays[weekday_].substr(0, 3));
        return length == 4 ? Result<std::string>(std::string(kDays[weekday_]))
                           : bad(verb, "day of week must either be \"EEE\" or \"EEEE\"");
      case 'h': return number(hour);
      case 'H': return number(hour % 12 == 0 ? 12 : hour % 12);
      case 'm': return number(clock_.minutes().count());
      case 's': return number(clock_.seconds().count());
      case 'A': return length == 2 ? Result<std::string>(hour < 12 ? "AM" : "PM") : bad(verb, "must be \"AA\"");
      case 'a': return length == 2 ? Result<std::string>(hour < 12 ? "am" : "pm") : bad(verb, "must be \"aa\"");
      case 'Z': return zone(verb);
      default:
        return invalid(
            std::format("invalid date format verb \"{}\": single quotes are required around literal letters", verb));
    }
  }

 private:
  Result<std::string> zone(std::string_view verb) const {
    bool utc = stamp_.offset_minutes == 0;
    switch (verb.size()) {
      case 1: return utc ? "Z" : offset_text(stamp_, ":");
      case 3: return utc ? "UTC" : offset_text(stamp_, "");
      case 4: return offset_text(stamp_, "");
      case 5: return offset_text(stamp_, ":");
      default: return bad(verb, "timezone must be Z, ZZZ, ZZZZ, or ZZZZZ");
    }
  }
  static Error bad(std::string_view verb, std::string_view why) {
    return invalid(std::format("invalid date format verb \"{}\": {}", verb, why));
  }

  Stamp stamp_;
  std::chrono::year_month_day date_;
  unsigned weekday_;
  std::chrono::hh_mm_ss<std::chrono::seconds> clock_;
};

Result<Value> format_date(Arguments a, hcl::Budget&) {
  STEPPE_TRY(Stamp stamp, parse_stamp(a[1].string()));
  DateFormat format(stamp);
  std::string_view pattern = a[0].string();
  std::string out;
  for (size_t at = 0; at < pattern.size();) {
    char c = pattern[at];
    if (c == '\'') {
      // A literal, in which two quotes stand for one.
      size_t end = at + 1;
      for (;; ++end) {
        if (end >= pattern.size()) return invalid("unterminated literal ' in the format");
        if (pattern[end] != '\'') {
          out += pattern[end];
        } else if (pattern.substr(end + 1, 1) == "'") {
          out += '\'';
          ++end;
        } else {
          break;
        }
      }
      at = end + 1;
      continue;
    }
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (!letter) {
      out += c;
      ++at;
      continue;
    }
    size_t end = std::min(pattern.find_first_not_of(c, at), pattern.size());
    STEPPE_TRY(std::string shown, format.verb(pattern.substr(at, end - at)));
    out += shown;
    at = end;
  }
  return Value(std::move(out));
}

Result<Value> add_time(Arguments a, hcl::Budget&) {
  STEPPE_TRY(Stamp stamp, parse_stamp(a[0].string()));
  auto duration = parse_duration(a[1].string());
  if (!duration.ok())
    return invalid(std::format("invalid duration \"{}\": {}", a[1].string().substr(0, 64), duration.error().message()));
  auto total = std::chrono::nanoseconds(stamp.nanoseconds) + std::chrono::nanoseconds(*duration);
  auto seconds = std::chrono::floor<std::chrono::seconds>(total);
  stamp.utc += seconds;
  // Go's layout has no fraction: it is cut off.
  auto local = stamp.local();
  auto days = std::chrono::floor<std::chrono::days>(local);
  std::chrono::year_month_day date(days);
  std::chrono::hh_mm_ss clock(local - days);
  if (int(date.year()) < 0 || int(date.year()) > 9999) return invalid("the result is outside the years 0 to 9999");
  return Value(std::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}{}", int(date.year()), unsigned(date.month()),
                           unsigned(date.day()), clock.hours().count(), clock.minutes().count(),
                           clock.seconds().count(), stamp.offset_minutes == 0 ? "Z" : offset_text(stamp, ":")));
}

}  // namespace

void add_dates(hcl::FunctionTable& table) {
  add(table, "formatdate", {text_parameter("format"), text_parameter("time")}, format_date);
  add(table, "timeadd", {text_parameter("timestamp"), text_parameter("duration")}, add_time);
}

}  // namespace steppe::jobspec
