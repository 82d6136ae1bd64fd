#include "init/hcl/token_stream.h"

#include <format>

namespace steppe::hcl {

const Token& TokenStream::peek_second() {
  skip_hidden();
  size_t second = at_ + 1 < tokens_.size() ? at_ + 1 : at_;
  while (hides_lines_ && tokens_[second].kind == TokenKind::kNewline) ++second;
  return tokens_[second];
}

void TokenStream::skip_item(size_t from) {
  int depth = 0;
  for (at_ = from; tokens_[at_].kind != TokenKind::kEnd; ++at_) {
    switch (tokens_[at_].kind) {
      case TokenKind::kOpenBrace:
      case TokenKind::kOpenBracket:
      case TokenKind::kOpenParen:
      case TokenKind::kOpenQuote:
      case TokenKind::kOpenHeredoc:
      case TokenKind::kOpenInterpolation:
      case TokenKind::kOpenDirective: ++depth; break;
      case TokenKind::kCloseBrace:
        if (depth == 0) return;
        [[fallthrough]];
      case TokenKind::kCloseBracket:
      case TokenKind::kCloseParen:
      case TokenKind::kCloseQuote:
      case TokenKind::kCloseHeredoc:
      case TokenKind::kCloseTemplate: depth -= depth > 0; break;
      case TokenKind::kNewline:
        if (depth == 0) return;
        break;
      default: break;
    }
  }
}

std::string TokenStream::describe(const Token& token) const {
  switch (token.kind) {
    case TokenKind::kEnd: return "the end of the text";
    case TokenKind::kNewline: return "the end of the line";
    case TokenKind::kIdentifier: return std::format("the name \"{}\"", text(token).substr(0, 64));
    case TokenKind::kNumber: return std::format("the number {}", text(token).substr(0, 64));
    case TokenKind::kOpenQuote:
    case TokenKind::kText: return "a string";
    case TokenKind::kCloseQuote: return "the end of the string";
    case TokenKind::kOpenHeredoc: return "a heredoc";
    case TokenKind::kCloseHeredoc: return "the end of the heredoc";
    case TokenKind::kOpenInterpolation:
    case TokenKind::kOpenDirective: return "a template sequence";
    case TokenKind::kCloseTemplate: return "the end of the template sequence";
    default: return std::format("\"{}\"", text(token));
  }
}

}  // namespace steppe::hcl
