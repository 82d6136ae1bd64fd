#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "init/base/result.h"

namespace steppe::cli {

// Command line flags in the syntax of Go's flag package, which Nomad's users type: -name, --name, -name=value and, for
// flags that are not switches, -name value. "--" or the first word that is no flag ends them; flags behind positional
// words are not flags. A flag is described once and then asked for by name.
class Flags {
 public:
  struct Spec {
    std::string_view name;
    enum class Kind : uint8_t { kSwitch, kText, kList } kind = Kind::kText;
    std::string_view help;
  };

  // kInvalid: "flag provided but not defined: -x", "flag needs an argument: -x", "invalid boolean value".
  static Result<Flags> parse(const std::vector<Spec>& specs, const std::vector<std::string>& words);

  bool on(std::string_view name) const;                      // a switch that was given (and not =false)
  bool given(std::string_view name) const { return values_.contains(std::string(name)); }
  std::string text(std::string_view name, std::string_view otherwise = "") const;  // last value
  std::vector<std::string> list(std::string_view name) const;
  // Errors name the flag and what it takes: "invalid value "abc" for flag -n: expected a whole number".
  Result<int64_t> number(std::string_view name, int64_t otherwise) const;
  Result<int64_t> count(std::string_view name, int64_t otherwise) const;  // 0 to kMostCounted
  static constexpr int64_t kMostCounted = 1'000'000'000;
  Result<uint64_t> unsigned_number(std::string_view name, uint64_t otherwise) const;
  const std::vector<std::string>& words() const { return words_; }

 private:
  Error unusable(std::string_view name, std::string_view expected) const;

  std::map<std::string, std::vector<std::string>, std::less<>> values_;
  std::vector<std::string> words_;
};

}  // namespace steppe::cli
