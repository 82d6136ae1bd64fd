#include "agent/cli/flags.h"

#include <algorithm>
#include <format>

#include "init/base/text.h"

namespace steppe::cli {

namespace {

std::optional<bool> boolean(std::string_view text) {
  for (const char* yes : {"1", "t", "T", "TRUE", "true", "True"}) {
    if (text == yes) return true;
  }
  for (const char* no : {"0", "f", "F", "FALSE", "false", "False"}) {
    if (text == no) return false;
  }
  return std::nullopt;
}

}  // namespace

Result<Flags> Flags::parse(const std::vector<Spec>& specs, const std::vector<std::string>& words) {
  Flags flags;
  size_t i = 0;
  for (; i < words.size(); ++i) {
    std::string_view word = words[i];
    if (word.size() < 2 || word[0] != '-') break;
    if (word == "--") {
      ++i;
      break;
    }
    word.remove_prefix(word.starts_with("--") ? 2 : 1);
    const size_t equals = word.find('=');
    const std::string name(word.substr(0, equals));
    const auto spec = std::ranges::find(specs, std::string_view(name), &Spec::name);
    if (spec == specs.end()) return Error(Code::kInvalid, std::format("flag provided but not defined: -{}", name));
    std::string value;
    if (equals != std::string_view::npos) {
      value = word.substr(equals + 1);
    } else if (spec->kind == Spec::Kind::kSwitch) {
      value = "true";
    } else if (i + 1 < words.size()) {
      value = words[++i];
    } else {
      return Error(Code::kInvalid, std::format("flag needs an argument: -{}", name));
    }
    if (spec->kind == Spec::Kind::kSwitch && !boolean(value)) {
      return Error(Code::kInvalid, std::format("invalid boolean value \"{}\" for -{}", value, name));
    }
    flags.values_[name].push_back(std::move(value));
  }
  flags.words_.assign(words.begin() + static_cast<ptrdiff_t>(i), words.end());
  return flags;
}

bool Flags::on(std::string_view name) const { return boolean(text(name, "false")).value_or(false); }

std::string Flags::text(std::string_view name, std::string_view otherwise) const {
  const auto found = values_.find(name);
  return found == values_.end() ? std::string(otherwise) : found->second.back();
}

std::vector<std::string> Flags::list(std::string_view name) const {
  const auto found = values_.find(name);
  return found == values_.end() ? std::vector<std::string>() : found->second;
}

Error Flags::unusable(std::string_view name, std::string_view expected) const {
  return {Code::kInvalid, std::format("invalid value \"{}\" for flag -{}: expected {}", text(name), name, expected)};
}

Result<int64_t> Flags::number(std::string_view name, int64_t otherwise) const {
  if (!given(name)) return otherwise;
  const Result<int64_t> value = parse_int(text(name));
  return value.ok() ? value : unusable(name, "a whole number");
}

Result<int64_t> Flags::count(std::string_view name, int64_t otherwise) const {
  if (!given(name)) return otherwise;
  const Result<int64_t> value = parse_int(text(name));
  return value.ok() && *value >= 0 && *value <= kMostCounted ? value : unusable(name, std::format("a whole number, 0 to {}", kMostCounted));
}

Result<uint64_t> Flags::unsigned_number(std::string_view name, uint64_t otherwise) const {
  if (!given(name)) return otherwise;
  const Result<uint64_t> value = parse_uint(text(name));
  return value.ok() ? value : unusable(name, "a whole number, not negative");
}

}  // namespace steppe::cli
