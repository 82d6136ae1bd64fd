// Templates: quoted strings, heredocs and bare texts. They are read into a flat list of parts first, because trimming
// and the indentation of "<<-" look at neighbours; then directives are folded into a tree.
#include <algorithm>
#include <format>
#include <limits>

#include "init/base/assert.h"
#include "init/hcl/expression_parser.h"

namespace steppe::hcl {
namespace {

void append_utf8(uint32_t code, std::string& out) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0 | code >> 6);
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xE0 | code >> 12);
    out += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | code >> 18);
    out += static_cast<char>(0x80 | (code >> 12 & 0x3F));
    out += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  }
}

// The code point of "\uNNNN" or "\UNNNNNNNN" whose backslash is at `at`; moves `at` behind it. False when malformed.
bool read_code_point(std::string_view text, size_t& at, uint32_t& code) {
  size_t digits = text[at + 1] == 'u' ? 4 : 8;
  std::string_view hex = text.substr(at + 2, digits);
  if (hex.size() != digits) return false;
  code = 0;
  for (char c : hex) {
    int digit = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
    if (digit < 0 || code > 0xFFFFFFF) return false;
    code = code << 4 | static_cast<uint32_t>(digit);
  }
  at += 2 + digits;
  return code <= 0x10FFFF && (code < 0xD800 || code > 0xDFFF);
}

constexpr std::string_view kSpace = " \t\r\n\v\f";

void trim_left(std::string& text) { text.erase(0, std::min(text.find_first_not_of(kSpace), text.size())); }
void trim_right(std::string& text) {
  size_t last = text.find_last_not_of(kSpace);
  text.erase(last == text.npos ? 0 : last + 1);
}

}  // namespace

struct ExpressionParser::TemplateToken {
  enum Kind : uint8_t { kText, kInterpolation, kIf, kElse, kEndIf, kFor, kEndFor } kind = kText;
  Range range;
  std::string text;
  ExprPtr expr;  // of an interpolation, a condition, or the collection of a loop
  std::string key_name, value_name;
};

bool ExpressionParser::decode_text(const Token& token, Escapes escapes, std::string& out) {
  std::string_view text = stream_.text(token);
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    std::string_view three = text.substr(at, 3);
    if (three == "$${" || three == "%%{") {
      out += three.substr(1);
      at += 3;
      continue;
    }
    if (escapes == Escapes::kTemplateOnly || text[at] != '\\') {
      out += text[at++];
      continue;
    }
    size_t begin = at;
    char next = at + 1 < text.size() ? text[at + 1] : '\0';
    constexpr std::string_view kNames = "nrt\"\\", kMeanings = "\n\r\t\"\\";
    uint32_t code = 0;
    if (size_t found = kNames.find(next); found != kNames.npos && next != '\0') {
      out += kMeanings[found];
      at += 2;
    } else if ((next == 'u' || next == 'U') && read_code_point(text, at, code)) {
      append_utf8(code, out);
    } else {
      auto from = static_cast<uint32_t>(token.range.start + begin);
      stream_.error(
          {from, std::min(from + 2, token.range.end)}, "Invalid escape sequence",
          "After a backslash only n, r, t, \", \\, uNNNN and UNNNNNNNN are known. To write a backslash, double it.");
      return false;
    }
  }
  return true;
}

bool ExpressionParser::read_parts(TokenKind end, Escapes escapes, std::vector<TemplateToken>& parts) {
  bool trim_next = false;
  for (;;) {
    const Token token = stream_.peek();
    if (token.kind == end) return true;
    if (token.kind == TokenKind::kText) {
      stream_.next();
      TemplateToken part{TemplateToken::kText, token.range};
      if (!decode_text(token, escapes, part.text)) return false;
      if (trim_next) trim_left(part.text);
      trim_next = false;
      parts.push_back(std::move(part));
    } else if (token.kind == TokenKind::kOpenInterpolation || token.kind == TokenKind::kOpenDirective) {
      if (!read_sequence(parts, trim_next)) return false;
    } else {
      // The lexer stopped early and has said why.
      if (token.kind != TokenKind::kEnd) {
        stream_.error(token.range, "Invalid template", std::format("Unexpected {}.", stream_.describe(token)));
      } else {
        stream_.error(token.range, "Unterminated template", "The text ends inside a string.");
      }
      return false;
    }
  }
}

bool ExpressionParser::read_sequence(std::vector<TemplateToken>& parts, bool& trim_next) {
  Level level(*this);
  if (!level.ok()) return false;
  TokenStream::LineScope lines(stream_, true);
  Token open = stream_.next();
  if (open.trims && !parts.empty() && parts.back().kind == TemplateToken::kText) trim_right(parts.back().text);
  TemplateToken part{TemplateToken::kInterpolation, open.range};
  if (open.kind == TokenKind::kOpenInterpolation) {
    part.expr = parse();
    if (!part.expr) return false;
  } else if (!read_directive(part)) {
    return false;
  }
  Token close = stream_.peek();
  if (!expect(TokenKind::kCloseTemplate, "Extra characters in template sequence",
              "Expected a closing brace (\"}\") to end the sequence.")) {
    return false;
  }
  part.range.end = close.range.end;
  trim_next = close.trims;
  parts.push_back(std::move(part));
  return true;
}

bool ExpressionParser::read_directive(TemplateToken& part) {
  const Token token = stream_.peek();
  std::string_view word = token.kind == TokenKind::kIdentifier ? stream_.text(token) : std::string_view();
  if (word == "for") {
    ForIntro intro;
    if (!parse_for_intro(intro)) return false;
    part.kind = TemplateToken::kFor;
    part.key_name = std::move(intro.key_name);
    part.value_name = std::move(intro.value_name);
    part.expr = std::move(intro.source);
    return true;
  }
  if (word == "if") {
    stream_.next();
    part.kind = TemplateToken::kIf;
    part.expr = parse();
    return part.expr != nullptr;
  }
  if (word == "else" || word == "endif" || word == "endfor") {
    stream_.next();
    part.kind = word == "else"    ? TemplateToken::kElse
                : word == "endif" ? TemplateToken::kEndIf
                                  : TemplateToken::kEndFor;
    return true;
  }
  stream_.error(
      token.range, "Invalid template directive",
      std::format("Expected one of if, else, endif, for, endfor after \"%{{\", but found {}. To write \"%{{\" "
                  "itself, double the percent sign.",
                  stream_.describe(token)));
  return false;
}

// "<<-": removes from each line the indentation that all lines share. A line whose only content is its end does not
// count; one that begins with a sequence has none. Each text part is at most one line.
void ExpressionParser::flush_indent(std::vector<TemplateToken>& parts) {
  size_t shared = std::numeric_limits<size_t>::max();
  std::vector<std::string*> line_starts;
  bool at_start = true;
  for (TemplateToken& part : parts) {
    bool is_text = part.kind == TemplateToken::kText;
    if (at_start && is_text) {
      size_t indent = std::min(part.text.find_first_not_of(kSpace), part.text.size());
      if (indent < part.text.size() || !part.text.ends_with('\n')) {
        shared = std::min(shared, indent);
        line_starts.push_back(&part.text);
      }
    } else if (at_start) {
      shared = 0;
    }
    at_start = is_text && part.text.ends_with('\n');
  }
  for (std::string* text : line_starts) text->erase(0, std::min(shared, text->size()));
}

ExprPtr ExpressionParser::build_parts(std::vector<TemplateToken>& parts, size_t& at, Range range) {
  TemplateExpr whole;
  uint32_t deepest = 0;
  for (; at < parts.size(); ++at) {
    TemplateToken& part = parts[at];
    ExprPtr hole;
    switch (part.kind) {
      case TemplateToken::kText:
        if (part.text.empty()) continue;
        if (!whole.parts.empty() && std::holds_alternative<std::string>(whole.parts.back())) {
          std::get<std::string>(whole.parts.back()) += part.text;
        } else {
          whole.parts.emplace_back(std::move(part.text));
        }
        continue;
      case TemplateToken::kInterpolation: hole = std::move(part.expr); break;
      case TemplateToken::kIf: hole = build_if(parts, at); break;
      case TemplateToken::kFor: hole = build_for(parts, at); break;
      default: return finish(range, std::move(whole), deepest);  // the caller's else, endif or endfor
    }
    if (!hole) return nullptr;
    deepest = std::max(deepest, hole->depth);
    whole.parts.emplace_back(std::move(hole));
  }
  return finish(range, std::move(whole), deepest);
}

ExprPtr ExpressionParser::build_if(std::vector<TemplateToken>& parts, size_t& at) {
  size_t open = at;
  Level level(*this);
  if (!level.ok()) return nullptr;
  ExprPtr then = build_parts(parts, ++at, parts[open].range);
  if (!then) return nullptr;
  ExprPtr otherwise;
  if (at < parts.size() && parts[at].kind == TemplateToken::kElse) {
    otherwise = build_parts(parts, ++at, parts[open].range);
  } else {
    otherwise = make(parts[open].range, LiteralExpr{Value("")});
  }
  if (!otherwise) return nullptr;
  if (at >= parts.size() || parts[at].kind != TemplateToken::kEndIf) {
    stream_.error(parts[open].range, "Unterminated template directive", "This \"if\" has no %{ endif }.");
    return nullptr;
  }
  ExprPtr condition = std::move(parts[open].expr);
  uint32_t deepest = std::max({condition->depth, then->depth, otherwise->depth});
  Range range = cover(parts[open].range, parts[at].range);
  return finish(range, ConditionalExpr{std::move(condition), std::move(then), std::move(otherwise)}, deepest);
}

ExprPtr ExpressionParser::build_for(std::vector<TemplateToken>& parts, size_t& at) {
  size_t open = at;
  Level level(*this);
  if (!level.ok()) return nullptr;
  ExprPtr body = build_parts(parts, ++at, parts[open].range);
  if (!body) return nullptr;
  if (at >= parts.size() || parts[at].kind != TemplateToken::kEndFor) {
    stream_.error(parts[open].range, "Unterminated template directive", "This \"for\" has no %{ endfor }.");
    return nullptr;
  }
  TemplateToken& intro = parts[open];
  uint32_t deepest = std::max(intro.expr->depth, body->depth);
  Range range = cover(intro.range, parts[at].range);
  TemplateForExpr loop{std::move(intro.key_name), std::move(intro.value_name), std::move(intro.expr), std::move(body)};
  return finish(range, std::move(loop), deepest);
}

ExprPtr ExpressionParser::build_template(std::vector<TemplateToken> parts, Range range) {
  std::erase_if(parts,
                [](const TemplateToken& part) { return part.kind == TemplateToken::kText && part.text.empty(); });
  if (parts.size() == 1 && parts[0].kind == TemplateToken::kInterpolation) return std::move(parts[0].expr);
  size_t at = 0;
  ExprPtr whole = build_parts(parts, at, range);
  if (!whole) return nullptr;
  if (at < parts.size()) {
    stream_.error(parts[at].range, "Unexpected template directive", "No \"if\" or \"for\" is open here.");
    return nullptr;
  }
  auto& made = std::get<TemplateExpr>(whole->node).parts;
  if (made.empty()) return make(range, LiteralExpr{Value("")});
  if (made.size() == 1 && std::holds_alternative<std::string>(made[0])) {
    return make(range, LiteralExpr{Value(std::move(std::get<std::string>(made[0])))});
  }
  return whole;
}

ExprPtr ExpressionParser::parse_quoted() {
  TokenStream::LineScope lines(stream_, true);
  Token open = stream_.next();
  std::vector<TemplateToken> parts;
  if (!read_parts(TokenKind::kCloseQuote, Escapes::kAll, parts)) return nullptr;
  stream_.next();
  return build_template(std::move(parts), {open.range.start, stream_.last_end()});
}

ExprPtr ExpressionParser::parse_heredoc() {
  TokenStream::LineScope lines(stream_, true);
  Token open = stream_.next();
  std::vector<TemplateToken> parts;
  if (!read_parts(TokenKind::kCloseHeredoc, Escapes::kTemplateOnly, parts)) return nullptr;
  stream_.next();
  if (stream_.text(open).starts_with("<<-")) flush_indent(parts);
  return build_template(std::move(parts), {open.range.start, stream_.last_end()});
}

ExprPtr ExpressionParser::parse_bare_template() {
  std::vector<TemplateToken> parts;
  if (!read_parts(TokenKind::kEnd, Escapes::kTemplateOnly, parts)) return nullptr;
  return build_template(std::move(parts), {0, stream_.last_end()});
}

std::optional<Label> ExpressionParser::parse_plain_string() {
  TokenStream::LineScope lines(stream_, true);
  Token open = stream_.next();
  Label label;
  if (stream_.at(TokenKind::kText)) {
    if (!decode_text(stream_.next(), Escapes::kAll, label.text)) return std::nullopt;
  }
  if (!expect(TokenKind::kCloseQuote, "Invalid string literal",
              "A label is a plain string: template sequences are not allowed in it.")) {
    return std::nullopt;
  }
  label.range = {open.range.start, stream_.last_end()};
  return label;
}

}  // namespace steppe::hcl
