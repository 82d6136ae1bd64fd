#include "init/base/byte_size.h"

#include <charconv>
#include <cmath>
#include <format>

#include "init/base/text.h"

namespace steppe {
namespace {

// 0: no such unit.
double scale_of(std::string_view unit) {
  std::string word = lower(unit);
  if (word.empty() || word == "b") return 1;
  constexpr std::string_view kPrefixes = "kmgtp";
  size_t power = kPrefixes.find(word[0]);
  if (power == kPrefixes.npos) return 0;
  word.erase(0, 1);
  if (word.empty() || word == "b") return std::pow(1000.0, static_cast<double>(power + 1));
  if (word == "i" || word == "ib") return std::pow(1024.0, static_cast<double>(power + 1));
  return 0;
}

}  // namespace

Result<Bytes> parse_byte_size(std::string_view text) {
  auto wrong = [&] { return Error(Code::kInvalid, std::format("\"{}\" is no size: expected a number and a unit, as in 100MB or 1.5GiB", text)); };
  std::string_view all = trim(text);
  double number = 0;
  auto [end, error] = std::from_chars(all.data(), all.data() + all.size(), number, std::chars_format::fixed);
  if (error != std::errc() || !(number >= 0)) return wrong();
  double scale = scale_of(trim(all.substr(static_cast<size_t>(end - all.data()))));
  double bytes = number * scale;
  if (scale == 0 || !(bytes < 0x1p63)) return wrong();
  return Bytes{static_cast<uint64_t>(bytes)};
}

}  // namespace steppe
