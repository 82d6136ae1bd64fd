#include "agent/model/constraint.h"

#include <re2/re2.h>

#include <algorithm>
#include <array>
#include <deque>
#include <format>
#include <string>
#include <unordered_map>

#include "agent/model/interpolate.h"
#include "agent/model/quoted.h"
#include "agent/model/version.h"
#include "agent/schema/job.pb.h"
#include "init/base/text.h"

namespace steppe::model {
namespace {

enum class Operand : uint8_t {
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kRegexp,
  kVersion,
  kSemver,
  kSetContains,
  kSetContainsAny,
  kIsSet,
  kIsNotSet,
  kDistinct,
};

struct OperandName {
  std::string_view text;
  Operand operand;
};
constexpr std::array kOperands = {
    OperandName{"=", Operand::kEqual},
    OperandName{"", Operand::kEqual},
    OperandName{"==", Operand::kEqual},
    OperandName{"is", Operand::kEqual},
    OperandName{"!=", Operand::kNotEqual},
    OperandName{"not", Operand::kNotEqual},
    OperandName{"<", Operand::kLess},
    OperandName{"<=", Operand::kLessEqual},
    OperandName{">", Operand::kGreater},
    OperandName{">=", Operand::kGreaterEqual},
    OperandName{"regexp", Operand::kRegexp},
    OperandName{"version", Operand::kVersion},
    OperandName{"semver", Operand::kSemver},
    OperandName{"set_contains", Operand::kSetContains},
    OperandName{"set_contains_all", Operand::kSetContains},
    OperandName{"set_contains_any", Operand::kSetContainsAny},
    OperandName{"is_set", Operand::kIsSet},
    OperandName{"is_not_set", Operand::kIsNotSet},
    OperandName{kDistinctHosts, Operand::kDistinct},
    OperandName{kDistinctProperty, Operand::kDistinct},
};

std::optional<Operand> find_operand(std::string_view text) {
  for (const OperandName& name : kOperands) {
    if (name.text == text) return name.operand;
  }
  return std::nullopt;
}

// Integers if both are; numbers if both are; texts otherwise.
std::partial_ordering order_of(std::string_view left, std::string_view right) {
  const auto left_int = parse_int(left);
  const auto right_int = parse_int(right);
  if (left_int.ok() && right_int.ok()) return *left_int <=> *right_int;
  const auto left_number = parse_double(left);
  const auto right_number = parse_double(right);
  if (left_number.ok() && right_number.ok()) return *left_number <=> *right_number;
  return left.compare(right) <=> 0;
}

bool holds_item(std::string_view list, std::string_view wanted) {
  for (const std::string_view item : split(list, ',')) {
    if (trim(item) == wanted) return true;
  }
  return false;
}

bool set_contains(std::string_view list, std::string_view wanted, bool all) {
  for (const std::string_view item : split(wanted, ',')) {
    if (holds_item(list, trim(item)) != all) return !all;
  }
  return all;
}

RE2::Options regexp_options() {
  RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(1 << 20);
  return options;
}

// Bounded; the entry that came first leaves first.
template <class T>
class Cache {
 public:
  template <class Make>
  const T& get(std::string_view key, Make make) {
    const auto found = entries_.find(key);
    if (found != entries_.end()) return *found->second;
    if (entries_.size() >= ConstraintChecker::kMaxCached) {
      entries_.erase(order_.front());
      order_.pop_front();
    }
    order_.emplace_back(key);
    return *entries_.emplace(order_.back(), make()).first->second;
  }

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  std::unordered_map<std::string, std::unique_ptr<T>, Hash, std::equal_to<>> entries_;
  std::deque<std::string> order_;
};

using MaybeConstraints = std::optional<VersionConstraints>;

}  // namespace

struct ConstraintChecker::Caches {
  Cache<RE2> regexps;
  Cache<MaybeConstraints> versions;
  Cache<MaybeConstraints> semvers;

  bool version(std::string_view left, std::string_view right, VersionSyntax syntax) {
    auto& cache = syntax == VersionSyntax::kSemver ? semvers : versions;
    const MaybeConstraints& constraints = cache.get(right, [&] {
      auto parsed = VersionConstraints::parse(right, syntax);
      return std::make_unique<MaybeConstraints>(parsed.ok() ? MaybeConstraints(*std::move(parsed)) : std::nullopt);
    });
    if (!constraints) return false;
    const auto version = Version::parse(left, syntax);
    return version.ok() && constraints->check(*version);
  }

  bool regexp(std::string_view left, std::string_view right) {
    static const RE2::Options kOptions = regexp_options();
    const RE2& expression =
        regexps.get(right, [&] { return std::make_unique<RE2>(re2::StringPiece(right.data(), right.size()), kOptions); });
    return expression.ok() && RE2::PartialMatch(re2::StringPiece(left.data(), left.size()), expression);
  }
};

ConstraintChecker::ConstraintChecker() : caches_(std::make_unique<Caches>()) {}
ConstraintChecker::~ConstraintChecker() = default;
ConstraintChecker::ConstraintChecker(ConstraintChecker&&) noexcept = default;
ConstraintChecker& ConstraintChecker::operator=(ConstraintChecker&&) noexcept = default;

bool is_known_operand(std::string_view operand) { return find_operand(operand).has_value(); }

bool ConstraintChecker::check(std::string_view operand, std::optional<std::string_view> left,
                              std::optional<std::string_view> right) {
  const auto kind = find_operand(operand);
  if (!kind) return false;
  switch (*kind) {
    case Operand::kDistinct: return true;
    case Operand::kIsSet: return left.has_value();
    case Operand::kIsNotSet: return !left.has_value();
    case Operand::kNotEqual: return left != right;
    default: break;
  }
  if (!left || !right) return false;
  switch (*kind) {
    case Operand::kEqual: return *left == *right;
    case Operand::kLess: return order_of(*left, *right) < 0;
    case Operand::kLessEqual: return order_of(*left, *right) <= 0;
    case Operand::kGreater: return order_of(*left, *right) > 0;
    case Operand::kGreaterEqual: return order_of(*left, *right) >= 0;
    case Operand::kRegexp: return caches_->regexp(*left, *right);
    case Operand::kVersion: return caches_->version(*left, *right, VersionSyntax::kLenient);
    case Operand::kSemver: return caches_->version(*left, *right, VersionSyntax::kSemver);
    case Operand::kSetContains: return set_contains(*left, *right, true);
    case Operand::kSetContainsAny: return set_contains(*left, *right, false);
    default: return false;
  }
}

bool ConstraintChecker::check(const schema::Constraint& constraint, const schema::Node& node) {
  return check(constraint.operand(), resolve_target(node, constraint.l_target()),
               resolve_target(node, constraint.r_target()));
}

Result<> validate_operand(std::string_view operand, std::string_view left_target, std::string_view right_target) {
  const auto kind = find_operand(operand);
  if (!kind) return Error(Code::kInvalid, std::format("Unknown constraint type {}", go_quoted(operand)));
  const bool dynamic = right_target.starts_with("${");
  bool needs_left = *kind != Operand::kDistinct || operand == kDistinctProperty;
  bool needs_right = false;
  switch (*kind) {
    case Operand::kDistinct:
      if (operand == kDistinctProperty) {
        if (auto limit = distinct_property_limit(right_target); !limit.ok()) return std::move(limit).error();
      }
      break;
    case Operand::kRegexp:
      if (dynamic) break;
      if (const RE2 expression(re2::StringPiece(right_target.data(), right_target.size()), regexp_options());
          !expression.ok()) {
        return Error(Code::kInvalid, std::format("Regular expression failed to compile: {}", expression.error()));
      }
      break;
    case Operand::kVersion:
    case Operand::kSemver: {
      if (dynamic) break;
      const bool semver = *kind == Operand::kSemver;
      auto parsed = VersionConstraints::parse(right_target, semver ? VersionSyntax::kSemver : VersionSyntax::kLenient);
      if (!parsed.ok()) {
        return Error(Code::kInvalid, std::format("{} constraint is invalid: {}", semver ? "Semver" : "Version",
                                                 parsed.error().message()));
      }
      break;
    }
    case Operand::kSetContains:
    case Operand::kSetContainsAny: needs_right = true; break;
    case Operand::kIsSet:
    case Operand::kIsNotSet:
      if (!right_target.empty()) {
        return Error(Code::kInvalid, std::format("Operator {} does not support an RTarget", go_quoted(operand)));
      }
      break;
    default: needs_right = true; break;
  }
  if (needs_right && right_target.empty()) {
    return Error(Code::kInvalid, std::format("Operator {} requires an RTarget", go_quoted(operand)));
  }
  if (needs_left && left_target.empty()) {
    return Error(Code::kInvalid, "No LTarget provided but is required by constraint");
  }
  return {};
}

bool distinct_hosts_enabled(std::string_view value) {
  static constexpr std::array<std::string_view, 6> kFalse = {"0", "f", "F", "false", "FALSE", "False"};
  return std::ranges::find(kFalse, value) == kFalse.end();
}

Result<uint64_t> distinct_property_limit(std::string_view value) {
  if (value.empty()) return 1;
  const auto limit = parse_uint(value);
  if (!limit.ok()) {
    return Error(Code::kInvalid, std::format("Failed to convert RTarget {} to uint64: {}", go_quoted(value), limit.error().message()));
  }
  if (*limit < 1) return Error(Code::kInvalid, std::format("Distinct Property must have an allowed count of 1 or greater: {} < 1", *limit));
  return *limit;
}

}  // namespace steppe::model
