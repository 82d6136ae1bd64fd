#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "init/base/result.h"

namespace steppe::cli {

// The words behind a command, taken apart: "-flag", "-name VALUE" or "-name=VALUE" (one dash or two), the rest in
// order.
// "--" ends the flags.
class Words {
 public:
  // `flags` take no value, `settings` take one and may be repeated. kInvalid names an unknown one, and the nearest.
  static Result<Words> parse(const std::vector<std::string>& words, const std::vector<std::string>& flags,
                             const std::vector<std::string>& settings);

  bool has(const std::string& flag) const { return values_.contains(flag); }
  std::optional<std::string> value(const std::string& name) const;  // the last one given
  std::vector<std::string> values(const std::string& name) const;
  const std::vector<std::string>& rest() const { return rest_; }

 private:
  std::map<std::string, std::vector<std::string>> values_;
  std::vector<std::string> rest_;
};

}  // namespace steppe::cli
