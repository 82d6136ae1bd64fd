#include "init/base/text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <format>

namespace steppe {

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  size_t start = 0;
  while (true) {
    const size_t at = text.find(separator, start);
    parts.push_back(text.substr(start, at == std::string_view::npos ? at : at - start));
    if (at == std::string_view::npos) return parts;
    start = at + 1;
  }
}

std::string_view trim(std::string_view text) {
  static constexpr std::string_view kSpace = " \t\r\n\v\f";
  const size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

namespace {
char lower_char(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
}  // namespace

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), lower_char);
  return out;
}

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, {}, lower_char, lower_char);
}

std::string join(const std::vector<std::string>& parts, std::string_view separator) {
  std::string out;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) out.append(separator);
    out.append(parts[i]);
  }
  return out;
}

bool is_utf8(std::string_view text) {
  size_t i = 0;
  while (i < text.size()) {
    const auto byte = static_cast<unsigned char>(text[i]);
    size_t extra = 0;
    uint32_t value = 0, least = 0;
    if (byte < 0x80) { ++i; continue; }
    if ((byte & 0xe0) == 0xc0) { extra = 1; value = byte & 0x1f; least = 0x80; }
    else if ((byte & 0xf0) == 0xe0) { extra = 2; value = byte & 0x0f; least = 0x800; }
    else if ((byte & 0xf8) == 0xf0) { extra = 3; value = byte & 0x07; least = 0x10000; }
    else return false;
    if (text.size() - i <= extra) return false;
    for (size_t k = 1; k <= extra; ++k) {
      const auto next = static_cast<unsigned char>(text[i + k]);
      if ((next & 0xc0) != 0x80) return false;
      value = value << 6 | (next & 0x3f);
    }
    if (value < least || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff)) return false;
    i += extra + 1;
  }
  return true;
}

namespace {

template <class T>
Result<T> parse_number(std::string_view text, std::string_view kind) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc::result_out_of_range) {
    return Error(Code::kInvalid, std::format("{} out of range: \"{}\"", kind, text.substr(0, 64)));
  }
  if (error != std::errc() || end != text.data() + text.size()) {
    return Error(Code::kInvalid, std::format("not {}: \"{}\"", kind, text.substr(0, 64)));
  }
  return value;
}

}  // namespace

Result<int64_t> parse_int(std::string_view text) { return parse_number<int64_t>(text, "an integer"); }
Result<uint64_t> parse_uint(std::string_view text) { return parse_number<uint64_t>(text, "an unsigned integer"); }
Result<double> parse_double(std::string_view text) { return parse_number<double>(text, "a number"); }

namespace {

struct DurationUnit {
  std::string_view name;
  int64_t ns;
};
// Longest names first where one is a prefix of another.
constexpr std::array<DurationUnit, 8> kDurationUnits{{{"ns", 1},
                                                      {"us", 1'000},
                                                      {"\xc2\xb5s", 1'000},  // U+00B5
                                                      {"\xce\xbcs", 1'000},  // U+03BC
                                                      {"ms", 1'000'000},
                                                      {"s", 1'000'000'000},
                                                      {"m", 60'000'000'000},
                                                      {"h", 3'600'000'000'000}}};

Error bad_duration(std::string_view text) {
  return {Code::kInvalid, std::format("not a duration: \"{}\" (expected for example \"30s\", \"1h15m\" or \"500ms\")", text.substr(0, 64))};
}

}  // namespace

Result<Duration> parse_duration(std::string_view text) {
  std::string_view rest = text;
  const bool negative = rest.starts_with('-');
  if (negative || rest.starts_with('+')) rest.remove_prefix(1);
  if (rest == "0") return Duration(0);
  if (rest.empty()) return bad_duration(text);
  __int128 total = 0;
  while (!rest.empty()) {
    const size_t digits = std::min(rest.find_first_not_of("0123456789"), rest.size());
    if (digits > 18) return bad_duration(text);
    __int128 whole = 0;
    for (const char c : rest.substr(0, digits)) whole = whole * 10 + (c - '0');
    rest.remove_prefix(digits);
    double fraction = 0;
    bool any = digits > 0;
    if (rest.starts_with('.')) {
      rest.remove_prefix(1);
      double scale = 0.1;
      while (!rest.empty() && rest[0] >= '0' && rest[0] <= '9') {
        fraction += (rest[0] - '0') * scale;
        scale /= 10;
        rest.remove_prefix(1);
        any = true;
      }
    }
    const auto* unit = std::ranges::find_if(kDurationUnits, [&](const DurationUnit& u) { return rest.starts_with(u.name); });
    if (!any || unit == kDurationUnits.end()) return bad_duration(text);
    rest.remove_prefix(unit->name.size());
    total += whole * unit->ns + static_cast<int64_t>(std::llround(fraction * static_cast<double>(unit->ns)));
    if (total > INT64_MAX) return Error(Code::kInvalid, std::format("duration out of range: \"{}\"", text.substr(0, 64)));
  }
  return Duration(static_cast<int64_t>(negative ? -total : total));
}

namespace {

std::string with_fraction(uint64_t value, uint64_t unit, std::string_view suffix) {
  std::string out = std::to_string(value / unit);
  if (const uint64_t rest = value % unit; rest != 0) {
    std::string digits = std::to_string(rest + unit).substr(1);
    digits.erase(digits.find_last_not_of('0') + 1);
    out.append(".").append(digits);
  }
  return out.append(suffix);
}

}  // namespace

std::string format_duration(Duration duration) {
  const int64_t ns = duration.count();
  if (ns == 0) return "0s";
  const uint64_t u = ns < 0 ? 0 - static_cast<uint64_t>(ns) : static_cast<uint64_t>(ns);
  std::string out = ns < 0 ? "-" : "";
  if (u < 1'000) return out + std::to_string(u) + "ns";
  if (u < 1'000'000) return out + with_fraction(u, 1'000, "\xc2\xb5s");
  if (u < 1'000'000'000) return out + with_fraction(u, 1'000'000, "ms");
  const uint64_t hours = u / 3'600'000'000'000;
  const uint64_t minutes = u / 60'000'000'000 % 60;
  if (hours > 0) out += std::to_string(hours) + "h";
  if (hours > 0 || minutes > 0) out += std::to_string(minutes) + "m";
  return out + with_fraction(u % 60'000'000'000, 1'000'000'000, "s");
}

std::string format_rfc3339(WallTime time) {
  using namespace std::chrono;
  const sys_time<nanoseconds> at{nanoseconds(time.unix_ns)};
  const auto seconds_part = floor<seconds>(at);
  std::string out = std::format("{:%FT%T}", seconds_part);
  if (const int64_t ns = (at - seconds_part).count(); ns != 0) {
    std::string digits = std::to_string(ns + 1'000'000'000).substr(1);
    digits.erase(digits.find_last_not_of('0') + 1);
    out.append(".").append(digits);
  }
  return out.append("Z");
}

Result<WallTime> parse_rfc3339(std::string_view text) {
  using namespace std::chrono;
  const Error bad(Code::kInvalid, std::format("not an RFC 3339 time: \"{}\"", text.substr(0, 64)));
  if (text.size() < 20 || text[4] != '-' || text[7] != '-' || (text[10] != 'T' && text[10] != 't') || text[13] != ':' || text[16] != ':') return bad;
  const auto number = [&](size_t at, size_t count) -> int {
    int value = 0;
    for (const char c : text.substr(at, count)) {
      if (c < '0' || c > '9') return -1;
      value = value * 10 + (c - '0');
    }
    return value;
  };
  const int y = number(0, 4), mo = number(5, 2), d = number(8, 2), h = number(11, 2), mi = number(14, 2), s = number(17, 2);
  const year_month_day date{year(y), month(static_cast<unsigned>(mo)), day(static_cast<unsigned>(d))};
  if (y < 0 || mo < 0 || d < 0 || !date.ok() || h < 0 || h > 23 || mi < 0 || mi > 59 || s < 0 || s > 60) return bad;
  size_t at = 19;
  int64_t fraction = 0;
  if (text[at] == '.') {
    int64_t scale = 100'000'000;
    for (++at; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at, scale /= 10) fraction += (text[at] - '0') * scale;
  }
  int64_t offset_minutes = 0;
  const std::string_view zone = text.substr(at);
  if (zone != "Z" && zone != "z") {
    if (zone.size() != 6 || (zone[0] != '+' && zone[0] != '-') || zone[3] != ':') return bad;
    const int oh = number(at + 1, 2), om = number(at + 4, 2);
    if (oh < 0 || oh > 23 || om < 0 || om > 59) return bad;
    offset_minutes = (zone[0] == '-' ? -1 : 1) * (oh * 60 + om);
  }
  const int64_t days = sys_days(date).time_since_epoch().count();
  const __int128 total = (static_cast<__int128>(days) * 86'400 + h * 3600 + (mi - offset_minutes) * 60 + s) * 1'000'000'000 + fraction;
  if (total > INT64_MAX || total < INT64_MIN) return Error(Code::kInvalid, std::format("time out of range: \"{}\"", text));
  return WallTime{static_cast<int64_t>(total)};
}

bool glob_match(std::string_view pattern, std::string_view text) {
  size_t p = 0, t = 0, star = std::string_view::npos, mark = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      mark = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++mark;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

}  // namespace steppe
