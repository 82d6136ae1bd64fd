#include "image/cli/words.h"

#include <algorithm>
#include <format>

namespace steppe::cli {

Result<Words> Words::parse(const std::vector<std::string>& words, const std::vector<std::string>& flags,
                           const std::vector<std::string>& settings) {
  Words out;
  bool ended = false;
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (ended || word.size() < 2 || word[0] != '-') {
      out.rest_.push_back(word);
      continue;
    }
    if (word == "--") {
      ended = true;
      continue;
    }
    const size_t start = word.find_first_not_of('-'), equals = word.find('=');
    const std::string name = word.substr(start, equals == std::string::npos ? equals : equals - start);
    if (std::ranges::contains(flags, name)) {
      if (equals != std::string::npos) return Error(Code::kInvalid, std::format("-{} takes no value", name));
      out.values_[name];
    } else if (std::ranges::contains(settings, name)) {
      if (equals == std::string::npos && i + 1 == words.size())
        return Error(Code::kInvalid, std::format("-{} needs a value", name));
      out.values_[name].push_back(equals == std::string::npos ? words[++i] : word.substr(equals + 1));
    } else {
      std::string known;
      for (const auto* list : {&flags, &settings}) {
        for (const std::string& one : *list) known += std::format("{}-{}", known.empty() ? "" : " ", one);
      }
      return Error(Code::kInvalid,
                   std::format("no option -{} here; there are: {}", name, known.empty() ? "none" : known));
    }
  }
  return out;
}

std::optional<std::string> Words::value(const std::string& name) const {
  const auto at = values_.find(name);
  if (at == values_.end() || at->second.empty()) return std::nullopt;
  return at->second.back();
}

std::vector<std::string> Words::values(const std::string& name) const {
  const auto at = values_.find(name);
  return at == values_.end() ? std::vector<std::string>() : at->second;
}

}  // namespace steppe::cli
