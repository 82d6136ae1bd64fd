#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "init/base/result.h"

namespace steppe::schema {
class Constraint;
class Node;
}

// The operators of constraints and affinities. Operands are their texts: "=", "!=", "version", "set_contains", ...
namespace steppe::model {

inline constexpr std::string_view kDistinctHosts = "distinct_hosts";
inline constexpr std::string_view kDistinctProperty = "distinct_property";

// An operand that check() knows, or distinct_*.
bool is_known_operand(std::string_view operand);

// The syntax of one operand's right side: regular expression, version list, bool or count. kInvalid says what is wrong.
// An empty operand means "=".
Result<> validate_operand(std::string_view operand, std::string_view left_target, std::string_view right_target);

// Evaluates operators; keeps compiled regular expressions and version lists, at most kMaxCached of each (the oldest
// leaves). One owner, one thread. The answers do not depend on what is cached.
class ConstraintChecker {
 public:
  static constexpr size_t kMaxCached = 512;

  ConstraintChecker();
  ~ConstraintChecker();
  ConstraintChecker(ConstraintChecker&&) noexcept;
  ConstraintChecker& operator=(ConstraintChecker&&) noexcept;

  // True when `left operand right` holds. nullopt = the side did not resolve (the node lacks the attribute). distinct_*
  // are always true here: they need the other allocs. An operand that is not known is false.
  bool check(std::string_view operand, std::optional<std::string_view> left, std::optional<std::string_view> right);

  // The same for a node: resolves both targets first (interpolate.h).
  bool check(const schema::Constraint& constraint, const schema::Node& node);

 private:
  struct Caches;
  std::unique_ptr<Caches> caches_;
};

// distinct_hosts with this value is on: empty, true and what is no bool; only a bool false turns it off.
bool distinct_hosts_enabled(std::string_view value);
// The right side of distinct_property: empty = 1. kInvalid unless a number above 0.
Result<uint64_t> distinct_property_limit(std::string_view value);

}  // namespace steppe::model
