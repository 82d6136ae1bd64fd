#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "init/base/result.h"

// Versions as constraints compare them.
namespace steppe::model {

enum class VersionSyntax {
  kLenient,  // "1", "v1.2", "1.2.3.4-beta+build", "1.2.3beta1"
  kSemver,   // a pre-release needs its dash; fewer than three numbers and a "v" are tolerated, as Nomad does
};

struct Version {
  std::vector<int64_t> segments;  // at least three, filled with zeros
  size_t given_segments = 0;      // how many were written
  std::string prerelease;         // without the dash
  std::string metadata;           // without the plus; not compared

  static Result<Version> parse(std::string_view text, VersionSyntax syntax);
  // SemVer 2.0 precedence (section 11).
  std::strong_ordering compare(const Version& other) const;
};

// A comma-separated list that must hold as a whole: ">= 1.2, < 2". Operators = != > < >= <= and, lenient only, ~>.
class VersionConstraints {
 public:
  static Result<VersionConstraints> parse(std::string_view text, VersionSyntax syntax);
  bool check(const Version& version) const;

 private:
  enum class Op { kEqual, kNotEqual, kGreater, kLess, kGreaterEqual, kLessEqual, kPessimistic };
  struct Term {
    Op op;
    Version version;
  };
  bool check_term(const Term& term, const Version& version) const;

  VersionSyntax syntax_ = VersionSyntax::kLenient;
  std::vector<Term> terms_;
};

}  // namespace steppe::model
