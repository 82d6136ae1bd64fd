#include "init/machine/kernel_arguments.h"

#include <algorithm>

#include "init/base/text.h"

namespace steppe::machine {

namespace {

constexpr std::string_view kOurs = "steppe.";

bool name_byte(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-'; }

// The next argument without its quotes; false at the end.
bool next_argument(std::string_view& rest, std::string& out) {
  while (!rest.empty() && (rest.front() == ' ' || rest.front() == '\t' || rest.front() == '\n')) rest.remove_prefix(1);
  if (rest.empty()) return false;
  out.clear();
  bool quoted = false;
  while (!rest.empty()) {
    char c = rest.front();
    if (!quoted && (c == ' ' || c == '\t' || c == '\n')) break;
    rest.remove_prefix(1);
    if (c == '"') quoted = !quoted;
    else out.push_back(c);
  }
  return true;
}

}  // namespace

Result<std::vector<Setting>> parse_command_line(std::string_view text) {
  while (!text.empty() && (text.back() == '\0' || text.back() == '\n')) text.remove_suffix(1);
  if (text.size() > kMaxCommandLine) return {Code::kInvalid, "the kernel's command line is longer than " + std::to_string(kMaxCommandLine) + " bytes"};
  std::vector<Setting> settings;
  std::string argument;
  while (next_argument(text, argument)) {
    if (argument == "--") break;
    if (!argument.starts_with(kOurs)) continue;
    std::string_view ours = std::string_view(argument).substr(kOurs.size());
    size_t equals = std::min(ours.find('='), ours.size());
    Setting setting{std::string(ours.substr(0, equals)), equals < ours.size() ? std::string(ours.substr(equals + 1)) : ""};
    bool fit = !setting.name.empty() && setting.name.size() <= 64 && std::ranges::all_of(setting.name, name_byte) && is_utf8(setting.value) &&
               setting.value.find('\0') == setting.value.npos;
    if (!fit) return {Code::kInvalid, "the kernel argument \"" + argument.substr(0, 80) + "\" is not of the form steppe.NAME=VALUE"};
    if (settings.size() == kMaxArguments) return {Code::kExhausted, "more than " + std::to_string(kMaxArguments) + " kernel arguments of ours"};
    settings.push_back(std::move(setting));
  }
  return settings;
}

}  // namespace steppe::machine
