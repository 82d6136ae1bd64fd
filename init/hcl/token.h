#pragma once

#include <cstdint>

#include "init/hcl/source.h"

namespace steppe::hcl {

enum class TokenKind : uint8_t {
  kEnd,
  kNewline,  // also the end of a line comment
  kIdentifier,
  kNumber,
  kOpenQuote,
  kCloseQuote,
  kOpenHeredoc,        // "<<EOT" or "<<-EOT" with its line end
  kCloseHeredoc,       // the marker on its own line, without the line end
  kText,               // literal text of a template, escapes not yet resolved
  kOpenInterpolation,  // "${" or "${~"
  kOpenDirective,      // "%{" or "%{~"
  kCloseTemplate,      // "}" or "~}" of one of the two
  kOpenBrace,
  kCloseBrace,
  kOpenBracket,
  kCloseBracket,
  kOpenParen,
  kCloseParen,
  kComma,
  kDot,
  kEllipsis,
  kColon,
  kQuestion,
  kAssign,
  kArrow,
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kPlus,
  kMinus,
  kStar,
  kSlash,
  kPercent,
  kAnd,
  kOr,
  kNot,
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  bool trims = false;  // a template sequence mark with '~'
  Range range;
};

}  // namespace steppe::hcl
