#pragma once

#include <vector>

#include "init/hcl/diagnostic.h"
#include "init/hcl/token.h"

namespace steppe::hcl {

// The parser's view of the tokens: one ahead, and line ends hidden inside brackets.
class TokenStream {
 public:
  TokenStream(const Source& source, std::vector<Token> tokens, Diagnostics& diagnostics)
      : source_(source), tokens_(std::move(tokens)), diagnostics_(diagnostics) {}

  const Token& peek() {
    skip_hidden();
    return tokens_[at_];
  }
  // The token after peek(), line ends hidden or not as now.
  const Token& peek_second();
  Token next() {
    skip_hidden();
    Token token = tokens_[at_];
    if (at_ + 1 < tokens_.size()) ++at_;
    last_end_ = token.range.end;
    return token;
  }
  bool at(TokenKind kind) { return peek().kind == kind; }
  bool take(TokenKind kind) {
    if (!at(kind)) return false;
    next();
    return true;
  }
  size_t position() {
    skip_hidden();
    return at_;
  }
  // Recovery: goes to the line end (or closing brace) that ends the attribute or block whose first token is `from`.
  void skip_item(size_t from);

  std::string_view text(const Token& token) const { return source_.slice(token.range); }
  const Source& source() const { return source_; }
  uint32_t last_end() const { return last_end_; }  // where the token taken last ended

  // Inside (), [] and template marks line ends mean nothing; inside {} they do. One scope per pair.
  class LineScope {
   public:
    LineScope(TokenStream& stream, bool hides) : stream_(stream), before_(stream.hides_lines_) {
      stream_.hides_lines_ = hides;
    }
    ~LineScope() { stream_.hides_lines_ = before_; }
    LineScope(const LineScope&) = delete;
    LineScope& operator=(const LineScope&) = delete;

   private:
    TokenStream& stream_;
    bool before_;
  };

  void error(Range range, std::string summary, std::string detail) {
    diagnostics_.error(source_, range, std::move(summary), std::move(detail));
  }
  // False once further errors would only be counted: spares work on their texts.
  bool keeps_errors() const { return diagnostics_.error_count() < Diagnostics::kMaxErrors; }
  // How a token is named in messages: `a comma`, `the name "job"`, `the end of the line`.
  std::string describe(const Token& token) const;

 private:
  void skip_hidden() {
    while (hides_lines_ && tokens_[at_].kind == TokenKind::kNewline) ++at_;
  }

  const Source& source_;
  std::vector<Token> tokens_;
  Diagnostics& diagnostics_;
  size_t at_ = 0;
  uint32_t last_end_ = 0;
  bool hides_lines_ = false;
};

}  // namespace steppe::hcl
