#include "init/hcl/lexer.h"

#include <format>

#include "init/base/text.h"

namespace steppe::hcl {
namespace {

bool is_ascii_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Length of the non-ASCII code point at `at` when it may stand in an identifier, else 0. The text is valid UTF-8.
size_t wide_letter(std::string_view text, size_t at) {
  auto lead = static_cast<unsigned char>(text[at]);
  if (lead < 0x80) return 0;
  size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (at + length > text.size()) return 0;
  uint32_t code = lead & (0xFF >> (length + 1));
  for (size_t i = 1; i < length; ++i) code = code << 6 | (static_cast<unsigned char>(text[at + i]) & 0x3F);
  bool punctuation = (code >= 0x80 && code < 0xC0 && code != 0xAA && code != 0xB5 && code != 0xBA) || code == 0xD7 ||
                     code == 0xF7 || (code >= 0x2000 && code < 0x2070) || (code >= 0x3000 && code < 0x3005) ||
                     (code >= 0xFE00 && code < 0xFE70) || code == 0xFEFF || code >= 0xE0000;
  return punctuation ? 0 : length;
}

size_t identifier_length(std::string_view text, size_t at) {
  size_t end = at;
  while (end < text.size()) {
    char c = text[end];
    if (is_ascii_letter(c) || c == '_' || (end > at && (is_digit(c) || c == '-'))) {
      ++end;
    } else if (size_t wide = wide_letter(text, end); wide != 0) {
      end += wide;
    } else {
      break;
    }
  }
  return end - at;
}

struct Operator {
  std::string_view text;
  TokenKind kind;
};
// Longer ones first.
constexpr Operator kOperators[] = {
    {"...", TokenKind::kEllipsis},    {"&&", TokenKind::kAnd},       {"||", TokenKind::kOr},
    {"==", TokenKind::kEqual},        {"!=", TokenKind::kNotEqual},  {"<=", TokenKind::kLessEqual},
    {">=", TokenKind::kGreaterEqual}, {"=>", TokenKind::kArrow},     {"=", TokenKind::kAssign},
    {"<", TokenKind::kLess},          {">", TokenKind::kGreater},    {"!", TokenKind::kNot},
    {"+", TokenKind::kPlus},          {"-", TokenKind::kMinus},      {"*", TokenKind::kStar},
    {"/", TokenKind::kSlash},         {"%", TokenKind::kPercent},    {"?", TokenKind::kQuestion},
    {":", TokenKind::kColon},         {",", TokenKind::kComma},      {".", TokenKind::kDot},
    {"(", TokenKind::kOpenParen},     {")", TokenKind::kCloseParen}, {"[", TokenKind::kOpenBracket},
    {"]", TokenKind::kCloseBracket},
};

class Lexer {
 public:
  Lexer(const Source& source, Diagnostics& diagnostics)
      : source_(source), text_(source.text), diagnostics_(diagnostics) {}

  std::vector<Token> run(LexMode mode) {
    if (!check_text()) return finish();
    if (text_.starts_with("\xEF\xBB\xBF")) at_ = 3;  // a byte order mark at the very start is skipped
    if (mode == LexMode::kTemplate) modes_.push_back({Mode::kBare});
    while (!failed_ && (at_ < text_.size() || (!modes_.empty() && modes_.back().kind == Mode::kHeredoc))) {
      if (modes_.empty() || modes_.back().kind == Mode::kSequence) {
        lex_expression();
      } else {
        lex_template();
      }
    }
    if (!failed_) check_closed();
    return finish();
  }

 private:
  struct Mode {
    enum Kind : uint8_t { kQuote, kHeredoc, kSequence, kBare } kind;
    uint32_t open = 0;             // where it began, for messages
    uint32_t braces = 0;           // kSequence: open braces inside
    std::string_view marker = {};  // kHeredoc
  };

  std::vector<Token> finish() {
    auto end = static_cast<uint32_t>(text_.size());
    tokens_.push_back({TokenKind::kEnd, false, {end, end}});
    return std::move(tokens_);
  }

  void fail(size_t from, size_t to, std::string summary, std::string detail) {
    failed_ = true;
    Range range{static_cast<uint32_t>(from), static_cast<uint32_t>(to)};
    diagnostics_.error(source_, range, std::move(summary), std::move(detail));
  }

  bool check_text() {
    if (text_.size() > kMaxSourceBytes) {
      fail(0, 0, "Text too large",
           std::format("The text has {} bytes; at most {} are read.", text_.size(), kMaxSourceBytes));
    } else if (!is_utf8(text_)) {
      size_t at = 0;
      for (size_t length = 1; at < text_.size(); at += length) {
        auto lead = static_cast<unsigned char>(text_[at]);
        length = lead < 0x80 ? 1 : lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
        if (!is_utf8(text_.substr(at, length))) break;
      }
      fail(at, at + 1, "Invalid character encoding", "All input must be UTF-8. Save the file with that encoding.");
    } else if (size_t nul = text_.find('\0'); nul != text_.npos) {
      fail(nul, nul + 1, "Invalid character", "A NUL byte is not allowed. Is this a text file?");
    }
    return !failed_;
  }

  void check_closed() {
    if (modes_.empty() || modes_.back().kind == Mode::kBare) return;
    const Mode& mode = modes_.back();
    if (mode.kind == Mode::kHeredoc) {
      fail(mode.open, mode.open + 2, "Unterminated heredoc",
           std::format("No line holds only the end marker \"{}\".", mode.marker));
    } else if (mode.kind == Mode::kQuote) {
      fail(mode.open, mode.open + 1, "Unterminated string", "The closing quote was not found.");
    } else {
      fail(mode.open, mode.open + 2, "Unterminated template sequence",
           "The closing brace \"}\" of this sequence was not found. To write \"${\" itself, double its first sign: "
           "\"$${\".");
    }
  }

  void push(TokenKind kind, size_t length, bool trims = false) {
    auto start = static_cast<uint32_t>(at_);
    at_ += length;
    tokens_.push_back({kind, trims, {start, static_cast<uint32_t>(at_)}});
  }

  void enter(Mode mode) {
    if (modes_.size() >= kMaxTemplateDepth) {
      fail(at_, at_ + 1, "Nesting too deep",
           std::format("Templates may stand inside one another at most {} deep.", kMaxTemplateDepth));
      return;
    }
    modes_.push_back(mode);
  }

  void lex_expression() {
    char c = text_[at_];
    if (c == ' ' || c == '\t') {
      ++at_;
    } else if (c == '\n' || text_.substr(at_, 2) == "\r\n") {
      push(TokenKind::kNewline, c == '\n' ? 1 : 2);
    } else if (c == '#' || text_.substr(at_, 2) == "//") {
      lex_line_comment();
    } else if (text_.substr(at_, 2) == "/*") {
      size_t end = text_.find("*/", at_ + 2);
      if (end == text_.npos) return fail(at_, at_ + 2, "Unterminated comment", "The closing \"*/\" was not found.");
      at_ = end + 2;
    } else if (is_digit(c)) {
      lex_number();
    } else if (size_t length = identifier_length(text_, at_); length != 0) {
      push(TokenKind::kIdentifier, length);
    } else if (c == '"') {
      auto open = static_cast<uint32_t>(at_);
      push(TokenKind::kOpenQuote, 1);
      enter({Mode::kQuote, open});
    } else if (text_.substr(at_, 2) == "<<") {
      lex_heredoc_start();
    } else {
      lex_operator(c);
    }
  }

  // The line end after a comment is a token of its own, as for every other line.
  void lex_line_comment() {
    size_t end = text_.find('\n', at_);
    if (end == text_.npos) end = text_.size();
    if (end > at_ && end < text_.size() && text_[end - 1] == '\r') --end;
    at_ = end;
  }

  void lex_number() {
    size_t end = at_;
    while (end < text_.size() && is_digit(text_[end])) ++end;
    if (end + 1 < text_.size() && text_[end] == '.' && is_digit(text_[end + 1])) {
      ++end;
      while (end < text_.size() && is_digit(text_[end])) ++end;
    }
    if (end < text_.size() && (text_[end] == 'e' || text_[end] == 'E')) {
      size_t exponent = end + 1;
      if (exponent < text_.size() && (text_[exponent] == '+' || text_[exponent] == '-')) ++exponent;
      if (exponent < text_.size() && is_digit(text_[exponent])) {
        end = exponent;
        while (end < text_.size() && is_digit(text_[end])) ++end;
      }
    }
    push(TokenKind::kNumber, end - at_);
  }

  void lex_heredoc_start() {
    size_t name = at_ + 2;
    if (name < text_.size() && text_[name] == '-') ++name;
    size_t length = identifier_length(text_, name);
    size_t line_end = name + length;
    if (text_.substr(line_end, 2) == "\r\n") {
      line_end += 2;
    } else if (line_end < text_.size() && text_[line_end] == '\n') {
      line_end += 1;
    } else {
      length = 0;
    }
    if (length == 0) {
      return fail(at_, name + 1, "Invalid heredoc",
                  "\"<<\" opens a heredoc: a marker must follow at once and end the line, as in <<EOT.");
    }
    Mode mode{Mode::kHeredoc, static_cast<uint32_t>(at_)};
    mode.marker = text_.substr(name, length);
    push(TokenKind::kOpenHeredoc, line_end - at_);
    enter(mode);
  }

  void lex_operator(char c) {
    bool in_sequence = !modes_.empty();
    if (c == '{') {
      if (in_sequence) ++modes_.back().braces;
      return push(TokenKind::kOpenBrace, 1);
    }
    if (c == '}' && in_sequence && modes_.back().braces == 0) return close_sequence(1);
    if (c == '}') {
      if (in_sequence) --modes_.back().braces;
      return push(TokenKind::kCloseBrace, 1);
    }
    if (c == '~' && in_sequence && modes_.back().braces == 0 && text_.substr(at_, 2) == "~}") return close_sequence(2);
    for (const Operator& op : kOperators) {
      if (text_.substr(at_).starts_with(op.text)) return push(op.kind, op.text.size());
    }
    fail_character(c);
  }

  void fail_character(char c) {
    size_t width = 1;
    while (at_ + width < text_.size() && (static_cast<unsigned char>(text_[at_ + width]) & 0xC0) == 0x80) ++width;
    std::string_view sign = text_.substr(at_, width);
    std::string hint = "This character is not used in the language.";
    if (sign == "“" || sign == "”" || sign == "„")
      hint = "\"Curly quotes\" are not valid here. Use straight quotes (\").";
    if (c == '\'') hint = "Single quotes are not valid. Use double quotes (\") around strings.";
    if (c == '&') hint = "Did you mean the boolean operator \"&&\"?";
    if (c == '|') hint = "Did you mean the boolean operator \"||\"?";
    if (c == ';') hint = "A semicolon ends nothing here: write each attribute on a line of its own.";
    if (c == '\\') hint = "A backslash has a meaning only inside a quoted string.";
    fail(at_, at_ + width, "Invalid character", std::move(hint));
  }

  void close_sequence(size_t length) {
    push(TokenKind::kCloseTemplate, length, length == 2);
    modes_.pop_back();
  }

  bool at_line_start() const { return at_ == 0 || text_[at_ - 1] == '\n'; }

  // At the start of a heredoc line: is this the end marker? Then emits it and leaves the heredoc.
  bool try_close_heredoc() {
    size_t begin = at_;
    while (begin < text_.size() && (text_[begin] == ' ' || text_[begin] == '\t')) ++begin;
    std::string_view marker = modes_.back().marker;
    if (!text_.substr(begin).starts_with(marker)) return false;
    size_t after = begin + marker.size();
    bool ends = after == text_.size() || text_[after] == '\n' || text_.substr(after, 2) == "\r\n";
    if (!ends) return false;
    at_ = begin;
    push(TokenKind::kCloseHeredoc, marker.size());
    modes_.pop_back();
    return true;
  }

  void lex_template() {
    Mode::Kind kind = modes_.back().kind;
    if (kind == Mode::kHeredoc && at_line_start() && try_close_heredoc()) return;
    if (at_ >= text_.size()) return check_closed();
    if (kind == Mode::kQuote && text_[at_] == '"') {
      push(TokenKind::kCloseQuote, 1);
      modes_.pop_back();
      return;
    }
    std::string_view two = text_.substr(at_, 2);
    if (two == "${" || two == "%{") {
      bool trims = text_.substr(at_ + 2, 1) == "~";
      auto open = static_cast<uint32_t>(at_);
      push(two[0] == '$' ? TokenKind::kOpenInterpolation : TokenKind::kOpenDirective, trims ? 3 : 2, trims);
      enter({Mode::kSequence, open});
      return;
    }
    lex_text(kind);
  }

  // One run of literal text; in a heredoc at most to the end of the line, where the end marker may stand.
  void lex_text(Mode::Kind kind) {
    size_t end = at_;
    while (end < text_.size()) {
      std::string_view three = text_.substr(end, 3);
      if (three == "$${" || three == "%%{") {
        end += 3;
      } else if (three.starts_with("${") || three.starts_with("%{")) {
        break;
      } else if (kind == Mode::kQuote && text_[end] == '"') {
        break;
      } else if (kind == Mode::kQuote && text_[end] == '\n') {
        return fail(modes_.back().open, end, "Invalid multi-line string",
                    "A quoted string ends on its own line. Write \\n for a line end, or use a heredoc (<<EOT).");
      } else if (kind == Mode::kQuote && text_[end] == '\\' && end + 1 < text_.size() && text_[end + 1] != '\n') {
        end += 2;
      } else if (text_[end++] == '\n') {
        break;
      }
    }
    push(TokenKind::kText, end - at_);
  }

  const Source& source_;
  std::string_view text_;
  Diagnostics& diagnostics_;
  size_t at_ = 0;
  bool failed_ = false;
  std::vector<Mode> modes_;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> lex(const Source& source, LexMode mode, Diagnostics& diagnostics) {
  return Lexer(source, diagnostics).run(mode);
}

bool is_identifier(std::string_view text) {
  return !text.empty() && is_utf8(text) && identifier_length(text, 0) == text.size();
}

}  // namespace steppe::hcl
