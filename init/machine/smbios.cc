#include "init/machine/smbios.h"

#include <algorithm>

#include "init/base/text.h"

namespace steppe::machine {

Result<std::vector<std::string>> parse_oem_strings(ByteView structure) {
  if (structure.size() > 64 << 10) return {Code::kInvalid, "SMBIOS: a structure of more than 64 KiB"};
  if (structure.size() < 5 || structure[0] != std::byte{11}) return {Code::kInvalid, "SMBIOS: not a structure of type 11"};
  size_t formatted = static_cast<size_t>(structure[1]), count = static_cast<size_t>(structure[4]);
  if (formatted < 5 || formatted > structure.size()) return {Code::kInvalid, "SMBIOS: its header says " + std::to_string(formatted) + " bytes"};
  std::string_view rest = as_text(structure.subspan(formatted));
  std::vector<std::string> strings;
  while (strings.size() < count) {
    size_t end = rest.find('\0');
    if (end == rest.npos || end == 0)
      return {Code::kInvalid, "SMBIOS: " + std::to_string(count) + " OEM strings announced, " + std::to_string(strings.size()) + " there"};
    strings.emplace_back(rest.substr(0, end));
    rest.remove_prefix(end + 1);
  }
  return strings;
}

Result<std::vector<Setting>> smbios_settings(const std::vector<std::string>& strings) {
  std::vector<Setting> settings;
  for (const std::string& text : strings) {
    if (!text.starts_with("steppe:")) continue;
    size_t equals = text.find('=');
    Setting setting{text.substr(7, equals == text.npos ? text.npos : equals - 7), equals == text.npos ? "" : text.substr(equals + 1)};
    bool fit = !setting.name.empty() && setting.name.size() <= 64 && is_utf8(setting.value) && std::ranges::all_of(setting.name, [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';
    });
    if (!fit) return {Code::kInvalid, "SMBIOS: the OEM string \"" + text.substr(0, 80) + "\" is not of the form steppe:NAME=VALUE"};
    if (settings.size() == kMaxArguments) return {Code::kExhausted, "SMBIOS: too many OEM strings of ours"};
    settings.push_back(std::move(setting));
  }
  return settings;
}

}  // namespace steppe::machine
