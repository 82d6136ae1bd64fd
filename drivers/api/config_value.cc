#include "drivers/api/config_value.h"

#include <algorithm>
#include <format>

#include "init/base/text.h"

namespace steppe::drivers {

ConfigReader::ConfigReader(const ConfigMap& config, std::string_view driver) : config_(config), driver_(driver) {}

const ConfigValue* ConfigReader::find(std::string_view key) {
  known_.emplace_back(key);
  auto it = config_.find(key);
  if (it == config_.end() || std::holds_alternative<std::monostate>(it->second.value)) return nullptr;
  return &it->second;
}

void ConfigReader::reject(std::string_view key, std::string_view why) {
  if (!first_error_.ok()) return;
  first_error_ = Error(Code::kInvalid, std::format("driver {}: config key \"{}\": {}", driver_, key, why));
}

void ConfigReader::wrong_type(std::string_view key, std::string_view expected, const ConfigValue& found) {
  static constexpr std::string_view kNames[] = {"null", "a bool", "an integer", "a number", "a string", "a list", "a map"};
  reject(key, std::format("expected {}, found {}", expected, kNames[found.value.index()]));
}

std::string ConfigReader::required_text(std::string_view key) {
  const ConfigValue* value = find(key);
  if (value == nullptr) {
    reject(key, "is required");
    return {};
  }
  const auto* text = std::get_if<std::string>(&value->value);
  if (text == nullptr) wrong_type(key, "a string", *value);
  else if (text->empty()) reject(key, "must not be empty");
  return text == nullptr ? std::string() : *text;
}

std::string ConfigReader::text(std::string_view key, std::string_view otherwise) {
  const ConfigValue* value = find(key);
  if (value == nullptr) return std::string(otherwise);
  if (const auto* text = std::get_if<std::string>(&value->value)) return *text;
  wrong_type(key, "a string", *value);
  return std::string(otherwise);
}

std::string ConfigReader::choice(std::string_view key, std::initializer_list<std::string_view> allowed,
                                 std::string_view otherwise) {
  std::string found = text(key, otherwise);
  if (std::ranges::find(allowed, found) != allowed.end()) return found;
  std::string list;
  for (std::string_view word : allowed) list += std::format("{}\"{}\"", list.empty() ? "" : " or ", word);
  reject(key, std::format("must be {}, found \"{}\"", list, found));
  return std::string(otherwise);
}

int64_t ConfigReader::integer(std::string_view key, int64_t otherwise, int64_t low, int64_t high) {
  const ConfigValue* value = find(key);
  if (value == nullptr) return otherwise;
  int64_t number = otherwise;
  if (const auto* direct = std::get_if<int64_t>(&value->value)) {
    number = *direct;
  } else if (const auto* text = std::get_if<std::string>(&value->value)) {
    auto parsed = parse_int(*text);
    if (!parsed.ok()) {
      wrong_type(key, "an integer", *value);
      return otherwise;
    }
    number = *parsed;
  } else {
    wrong_type(key, "an integer", *value);
    return otherwise;
  }
  if (number < low || number > high) {
    reject(key, std::format("must be {} to {}, found {}", low, high, number));
    return otherwise;
  }
  return number;
}

bool ConfigReader::boolean(std::string_view key, bool otherwise) {
  const ConfigValue* value = find(key);
  if (value == nullptr) return otherwise;
  if (const auto* direct = std::get_if<bool>(&value->value)) return *direct;
  if (const auto* text = std::get_if<std::string>(&value->value)) {
    if (*text == "true") return true;
    if (*text == "false") return false;
  }
  wrong_type(key, "true or false", *value);
  return otherwise;
}

Duration ConfigReader::duration(std::string_view key, Duration otherwise) {
  const ConfigValue* value = find(key);
  if (value == nullptr) return otherwise;
  if (const auto* direct = std::get_if<int64_t>(&value->value)) return Duration(*direct);
  if (const auto* text = std::get_if<std::string>(&value->value)) {
    auto parsed = parse_duration(*text);
    if (parsed.ok()) return *parsed;
  }
  wrong_type(key, "a duration such as \"30s\"", *value);
  return otherwise;
}

std::vector<std::string> ConfigReader::text_list(std::string_view key) {
  const ConfigValue* value = find(key);
  if (value == nullptr) return {};
  std::vector<std::string> out;
  const auto* list = std::get_if<ConfigList>(&value->value);
  if (list == nullptr) {
    wrong_type(key, "a list of strings", *value);
    return out;
  }
  for (const ConfigValue& item : *list) {
    // HCL lists mix types freely: numbers and bools become their text, as Nomad's own decoding does.
    if (const auto* text = std::get_if<std::string>(&item.value)) out.push_back(*text);
    else if (const auto* number = std::get_if<int64_t>(&item.value)) out.push_back(std::to_string(*number));
    else if (const auto* real = std::get_if<double>(&item.value)) out.push_back(std::format("{}", *real));
    else if (const auto* flag = std::get_if<bool>(&item.value)) out.push_back(*flag ? "true" : "false");
    else {
      wrong_type(key, "a list of strings", item);
      return {};
    }
  }
  return out;
}

void ConfigReader::ignore(std::string_view key) { known_.emplace_back(key); }

Result<> ConfigReader::finish() {
  if (!first_error_.ok()) return first_error_;
  for (const auto& [key, value] : config_) {
    if (std::ranges::find(known_, key) != known_.end()) continue;
    std::ranges::sort(known_);
    return {Code::kInvalid, std::format("driver {}: config key \"{}\" is not known; known are: {}", driver_, key,
                                        join(known_, ", "))};
  }
  return {};
}

}  // namespace steppe::drivers
