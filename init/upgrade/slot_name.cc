#include "init/upgrade/slot_name.h"

#include "init/base/text.h"

namespace steppe::upgrade {

namespace {

constexpr std::string_view kPrefix = "steppe-", kSuffix = ".efi", kPart = ".part";
constexpr std::string_view kImages = "\\efi\\linux\\";

bool plain(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

// Digits only, at most four of them: what the loader writes, padded or not.
std::optional<uint32_t> take_count(std::string_view& text) {
  uint32_t value = 0;
  size_t length = 0;
  for (; length < text.size() && text[length] >= '0' && text[length] <= '9'; length++) {
    if (length == 4) return std::nullopt;
    value = value * 10 + static_cast<uint32_t>(text[length] - '0');
  }
  if (length == 0) return std::nullopt;
  text.remove_prefix(length);
  return value;
}

}  // namespace

Result<> check_version(std::string_view version) {
  if (version.empty() || version.size() > kMaxVersion)
    return {Code::kInvalid, "version \"" + std::string(version.substr(0, 80)) + "\": has " +
                                std::to_string(version.size()) + " bytes, expected 1 to " + std::to_string(kMaxVersion)};
  if (!plain(version.front()))
    return {Code::kInvalid, "version \"" + std::string(version) + "\": must begin with a lower-case letter or a digit"};
  for (char c : version)
    if (!plain(c) && c != '.' && c != '~' && c != '^' && c != '-')
      return {Code::kInvalid, "version \"" + std::string(version) +
                                  "\": only lower-case letters, digits and the marks . ~ ^ - can stand in a file name"};
  return {};
}

std::optional<SlotName> parse_slot_name(std::string_view name) {
  if (name.size() > kPrefix.size() + kMaxVersion + 10 + kSuffix.size()) return std::nullopt;
  std::string folded = lower(name);
  std::string_view rest = folded;
  if (!rest.starts_with(kPrefix) || !rest.ends_with(kSuffix)) return std::nullopt;
  if (rest.size() < kPrefix.size() + kSuffix.size()) return std::nullopt;
  rest.remove_prefix(kPrefix.size());
  rest.remove_suffix(kSuffix.size());
  SlotName result;
  size_t plus = rest.find('+');
  result.version = rest.substr(0, plus);
  if (!check_version(result.version).ok()) return std::nullopt;
  if (plus == rest.npos) return result;
  rest.remove_prefix(plus + 1);
  std::optional<uint32_t> left = take_count(rest);
  if (!left) return std::nullopt;
  Counter counter{*left, 0};
  if (rest.starts_with('-')) {
    rest.remove_prefix(1);
    std::optional<uint32_t> done = take_count(rest);
    if (!done) return std::nullopt;
    counter.done = *done;
  }
  if (!rest.empty()) return std::nullopt;
  result.counter = counter;
  return result;
}

std::string slot_file_name(const SlotName& name) {
  std::string text = std::string(kPrefix) + name.version;
  if (name.counter) {
    text += "+" + std::to_string(name.counter->left);
    // "+3" is how a new image is named, and "+0-0" must not read as "+0".
    if (name.counter->done > 0 || name.counter->left == 0) text += "-" + std::to_string(name.counter->done);
  }
  return text + std::string(kSuffix);
}

std::string part_name(std::string_view version) {
  return std::string(kPrefix) + std::string(version) + std::string(kSuffix) + std::string(kPart);
}

bool is_part_name(std::string_view name) {
  std::string folded = lower(name.substr(0, 256));
  return folded.starts_with(kPrefix) && folded.ends_with(kPart);
}

std::optional<SlotName> parse_loader_value(std::string_view value) {
  while (!value.empty() && value.back() == '\0') value.remove_suffix(1);
  if (value.size() > 512) return std::nullopt;
  if (value.starts_with('\\')) {
    if (value.size() < kImages.size() || !equals_ignoring_case(value.substr(0, kImages.size()), kImages)) return std::nullopt;
    value.remove_prefix(kImages.size());
  }
  return parse_slot_name(value);
}

}  // namespace steppe::upgrade
