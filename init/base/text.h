#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "init/base/clock.h"
#include "init/base/result.h"

namespace steppe {

std::vector<std::string_view> split(std::string_view text, char separator);  // "a,,b" -> "a","","b"; "" -> ""
std::string_view trim(std::string_view text);                                // ASCII white space, both ends
std::string lower(std::string_view text);                                    // ASCII only
bool equals_ignoring_case(std::string_view a, std::string_view b);           // ASCII only
std::string join(const std::vector<std::string>& parts, std::string_view separator);
bool is_utf8(std::string_view text);  // strict: no overlong forms, surrogates or values past U+10FFFF

// Decimal, the whole text, no spaces, no '+'.
Result<int64_t> parse_int(std::string_view text);
Result<uint64_t> parse_uint(std::string_view text);
Result<double> parse_double(std::string_view text);

// Go's duration syntax: "1h15m30.5s", "-2ms", "0"; units ns us µs ms s m h.
Result<Duration> parse_duration(std::string_view text);
// Go's Duration.String: "1h15m30.5s", "1.5ms", "0s".
std::string format_duration(Duration duration);

// RFC 3339 in UTC with the fraction's trailing zeros removed: "2026-11-21T11:16:05.25Z".
std::string format_rfc3339(WallTime time);
Result<WallTime> parse_rfc3339(std::string_view text);

// True when `text` matches a shell pattern that knows only '*' (any run) and '?' (one byte).
bool glob_match(std::string_view pattern, std::string_view text);

}  // namespace steppe
