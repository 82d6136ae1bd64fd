#include "init/machine/hardening/kernel_config.h"

#include <algorithm>
#include <array>
#include <format>

#include "init/base/text.h"
#include "init/machine/hardening/table.h"

namespace steppe::hardening {
namespace {

bool is_option(std::string_view name) {
  return name.starts_with("CONFIG_") && name.size() > 7 && name.size() <= 128 && std::ranges::all_of(name, [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  });
}

// "6.12.107+deb13" -> 6, 12, 107; what is missing is 0.
std::array<unsigned, 3> numbers(std::string_view text) {
  std::array<unsigned, 3> out{};
  size_t part = 0;
  for (const char c : text) {
    if (c >= '0' && c <= '9') {
      out[part] = std::min(out[part] * 10 + static_cast<unsigned>(c - '0'), 99'999u);
    } else if (c != '.' || ++part == out.size()) {
      break;
    }
  }
  return out;
}

}  // namespace

Result<KernelConfig> parse_kernel_config(std::string_view text) {
  if (text.size() > kMaxKernelConfig.count) return Error(Code::kExhausted, std::format("the kernel's configuration "
      "has {} bytes, {} are allowed", text.size(), kMaxKernelConfig.count));
  KernelConfig out;
  size_t number = 0;
  for (const std::string_view line : split(text, '\n')) {
    ++number;
    if (line.empty() || line.starts_with('#')) continue;
    const size_t equals = line.find('=');
    if (equals == line.npos || !is_option(line.substr(0, equals)))
      return Error(Code::kCorrupt, std::format("line {} of the kernel's configuration is neither a comment nor "
          "CONFIG_NAME=VALUE", number));
    if (line.substr(equals + 1) != "n") out[std::string(line.substr(0, equals))] = line.substr(equals + 1);
  }
  return out;
}

std::string kernel_value(const KernelConfig& config, std::string_view name) {
  const auto at = config.find(name);
  return at == config.end() ? std::string(kNotSet) : at->second;
}

bool satisfies(std::string_view asked, std::string_view value) {
  if (!asked.starts_with('+')) return asked == value;
  if (value.size() < 2 || value.front() != '"' || value.back() != '"') return false;
  const auto have = split(value.substr(1, value.size() - 2), ',');
  return std::ranges::all_of(split(asked.substr(1), ','),
                             [&](std::string_view word) { return std::ranges::find(have, word) != have.end(); });
}

bool kernel_at_least(std::string_view release, std::string_view since) { return numbers(release) >= numbers(since); }

}  // namespace steppe::hardening
