#include "agent/model/version.h"

#include <algorithm>
#include <format>

#include "init/base/text.h"

namespace steppe::model {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '~'; }

// One or more of [0-9A-Za-z-~], separated by single dots.
bool is_dotted(std::string_view text) {
  for (const std::string_view part : split(text, '.')) {
    if (part.empty()) return false;
    if (!std::ranges::all_of(part, [](char c) { return is_digit(c) || is_letter(c); })) return false;
  }
  return true;
}

bool is_number(std::string_view text) { return !text.empty() && std::ranges::all_of(text, is_digit); }

// Numbers of any length, by value.
std::strong_ordering compare_numbers(std::string_view a, std::string_view b) {
  a.remove_prefix(std::min(a.find_first_not_of('0'), a.size()));
  b.remove_prefix(std::min(b.find_first_not_of('0'), b.size()));
  if (a.size() != b.size()) return a.size() <=> b.size();
  return a.compare(b) <=> 0;
}

std::strong_ordering compare_prereleases(std::string_view a, std::string_view b) {
  if (a == b) return std::strong_ordering::equal;
  if (a.empty()) return std::strong_ordering::greater;  // a release comes after its pre-releases
  if (b.empty()) return std::strong_ordering::less;
  const auto left = split(a, '.');
  const auto right = split(b, '.');
  for (size_t i = 0; i < std::min(left.size(), right.size()); ++i) {
    const bool left_number = is_number(left[i]);
    const bool right_number = is_number(right[i]);
    std::strong_ordering order = left[i].compare(right[i]) <=> 0;
    if (left_number && right_number) {
      order = compare_numbers(left[i], right[i]);
    } else if (left_number != right_number) {
      order = left_number ? std::strong_ordering::less : std::strong_ordering::greater;
    }
    if (order != 0) return order;
  }
  return left.size() <=> right.size();
}

}  // namespace

Result<Version> Version::parse(std::string_view text, VersionSyntax syntax) {
  const Error malformed(Code::kInvalid, std::format("Malformed version: {}", text));
  Version version;
  std::string_view rest = text;
  if (rest.starts_with('v')) rest.remove_prefix(1);
  if (const size_t plus = rest.find('+'); plus != std::string_view::npos) {
    version.metadata = rest.substr(plus + 1);
    if (!is_dotted(version.metadata)) return malformed;
    rest = rest.substr(0, plus);
  }
  for (;;) {
    size_t digits = 0;
    while (digits < rest.size() && is_digit(rest[digits])) ++digits;
    if (digits == 0) return malformed;
    const auto number = parse_int(rest.substr(0, digits));
    if (!number.ok()) return Error(Code::kInvalid, std::format("Malformed version: {}: a number is too large", text));
    version.segments.push_back(*number);
    rest.remove_prefix(digits);
    if (rest.size() < 2 || rest[0] != '.' || !is_digit(rest[1])) break;
    rest.remove_prefix(1);
  }
  version.given_segments = version.segments.size();
  if (version.segments.size() < 3) version.segments.resize(3, 0);
  if (rest.empty()) return version;
  // "-rc1"; and, lenient, "rc1" right behind the last number.
  const bool dash = rest.front() == '-';
  if (!dash && (syntax == VersionSyntax::kSemver || !is_letter(rest.front()))) return malformed;
  version.prerelease = rest.substr(dash ? 1 : 0);
  if (!is_dotted(version.prerelease)) return malformed;
  return version;
}

std::strong_ordering Version::compare(const Version& other) const {
  const size_t count = std::max(segments.size(), other.segments.size());
  for (size_t i = 0; i < count; ++i) {
    const int64_t mine = i < segments.size() ? segments[i] : 0;
    const int64_t theirs = i < other.segments.size() ? other.segments[i] : 0;
    if (mine != theirs) return mine <=> theirs;
  }
  return compare_prereleases(prerelease, other.prerelease);
}

Result<VersionConstraints> VersionConstraints::parse(std::string_view text, VersionSyntax syntax) {
  struct Sign {
    std::string_view text;
    Op op;
  };
  static constexpr Sign kSigns[] = {{"!=", Op::kNotEqual},  {">=", Op::kGreaterEqual}, {"<=", Op::kLessEqual},
                                    {"~>", Op::kPessimistic}, {"=", Op::kEqual},       {">", Op::kGreater},
                                    {"<", Op::kLess}};
  VersionConstraints constraints;
  constraints.syntax_ = syntax;
  for (std::string_view part : split(text, ',')) {
    part = trim(part);
    const Error malformed(Code::kInvalid, std::format("Malformed constraint: {}", part));
    Op op = Op::kEqual;
    for (const Sign& sign : kSigns) {
      if (!part.starts_with(sign.text)) continue;
      op = sign.op;
      part = trim(part.substr(sign.text.size()));
      break;
    }
    if (op == Op::kPessimistic && syntax == VersionSyntax::kSemver) return malformed;
    auto version = Version::parse(part, syntax);
    if (!version.ok()) return malformed;
    constraints.terms_.push_back({op, *std::move(version)});
  }
  return constraints;
}

bool VersionConstraints::check(const Version& version) const {
  return std::ranges::all_of(terms_, [&](const Term& term) { return check_term(term, version); });
}

bool VersionConstraints::check_term(const Term& term, const Version& version) const {
  const auto order = version.compare(term.version);
  if (term.op == Op::kEqual) return order == 0;
  if (term.op == Op::kNotEqual) return order != 0;
  if (syntax_ == VersionSyntax::kLenient) {
    // A pre-release is only ever meant by who names one, and then one of the same release.
    const bool asked = !term.version.prerelease.empty();
    const bool given = !version.prerelease.empty();
    if (given && !asked) return false;
    if (given && asked && version.segments != term.version.segments) return false;
    if (term.op == Op::kPessimistic && asked && !given) return false;
  }
  switch (term.op) {
    case Op::kGreater: return order > 0;
    case Op::kLess: return order < 0;
    case Op::kGreaterEqual: return order >= 0;
    case Op::kLessEqual: return order <= 0;
    case Op::kPessimistic: {
      // All but the last written number must be the same; the last may grow.
      if (order < 0 || version.segments.size() < term.version.segments.size()) return false;
      const auto& want = term.version.segments;
      return std::equal(want.begin(), want.begin() + static_cast<ptrdiff_t>(term.version.given_segments) - 1,
                        version.segments.begin());
    }
    case Op::kEqual:
    case Op::kNotEqual: break;
  }
  return false;
}

}  // namespace steppe::model
