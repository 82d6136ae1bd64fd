#include "init/hcl/parser.h"

#include <algorithm>
#include <format>
#include <map>

#include "init/hcl/expression_parser.h"
#include "init/hcl/lexer.h"

namespace steppe::hcl {
namespace {

class BodyParser {
 public:
  BodyParser(TokenStream& stream, Dialect dialect)
      : stream_(stream), expressions_(stream), lenient_(dialect == Dialect::kConfiguration) {}

  // Up to `end`: kEnd or kCloseBrace, which stays.
  Body parse_items(TokenKind end) {
    Body body;
    body.range.start = stream_.peek().range.start;
    std::map<std::string, Range, std::less<>> seen;
    for (;;) {
      while (stream_.take(TokenKind::kNewline)) {
      }
      if (stream_.at(end) || stream_.at(TokenKind::kEnd) || expressions_.gave_up()) break;
      size_t from = stream_.position();
      if (!parse_item(body, seen)) {
        if (expressions_.gave_up()) break;
        stream_.skip_item(from);
        // A stray closing brace at the top would stop us for ever.
        if (end == TokenKind::kEnd) stream_.take(TokenKind::kCloseBrace);
      }
    }
    body.range.end = stream_.peek().range.start;
    return body;
  }

 private:
  using Seen = std::map<std::string, Range, std::less<>>;

  bool parse_item(Body& body, Seen& seen) {
    const Token token = stream_.peek();
    if (lenient_ && token.kind == TokenKind::kOpenQuote) return parse_quoted_item(body, seen);
    if (token.kind != TokenKind::kIdentifier) {
      std::string hint;
      if (token.kind == TokenKind::kOpenQuote) hint = " Names of attributes and blocks are written without quotes.";
      stream_.error(
          token.range, "Argument or block definition required",
          std::format("Expected the name of an attribute or a block, but found {}.{}", stream_.describe(token), hint));
      return false;
    }
    Token name = stream_.next();
    const Token second = stream_.peek();
    switch (second.kind) {
      case TokenKind::kAssign:
        return parse_attribute(body, seen, {std::string(stream_.text(name)), name.range}) && finish_line("argument");
      case TokenKind::kOpenQuote:
      case TokenKind::kIdentifier:
      case TokenKind::kOpenBrace: {
        Block block;
        if (!parse_block({std::string(stream_.text(name)), name.range}, block)) return false;
        body.blocks.push_back(std::move(block));
        return finish_line("block");
      }
      case TokenKind::kColon:
        stream_.error(second.range, "Invalid argument definition",
                      "Write \"=\" and not \":\" between a name and its value.");
        return false;
      default:
        stream_.error(
            second.range, "Invalid block definition",
            std::format("After the name \"{}\" expected \"=\" and a value, or \"{{\" to open a block, but found {}.",
                        stream_.text(name), stream_.describe(second)));
        return false;
    }
  }

  // "name" = value, or "name" { … }.
  bool parse_quoted_item(Body& body, Seen& seen) {
    auto name = expressions_.parse_plain_string();
    if (!name) return false;
    if (stream_.at(TokenKind::kAssign)) return parse_attribute(body, seen, *std::move(name)) && finish_line("argument");
    Block block;
    if (!parse_block(*std::move(name), block)) return false;
    body.blocks.push_back(std::move(block));
    return finish_line("block");
  }

  bool finish_line(std::string_view what) {
    if (lenient_) {
      stream_.take(TokenKind::kComma);
      if (stream_.at(TokenKind::kIdentifier) || stream_.at(TokenKind::kOpenQuote)) return true;
    }
    if (stream_.at(TokenKind::kCloseBrace) || stream_.at(TokenKind::kEnd) || stream_.take(TokenKind::kNewline))
      return true;
    const Token token = stream_.peek();
    std::string hint = token.kind == TokenKind::kComma ? " Attributes of a block are not divided by commas." : "";
    stream_.error(token.range, std::format("Missing newline after {}", what),
                  std::format("The line must end here, but found {}.{}", stream_.describe(token), hint));
    return false;
  }

  bool parse_attribute(Body& body, Seen& seen, Label name) {
    stream_.next();
    ExprPtr expr = expressions_.parse();
    if (!expr) return false;
    std::string text = std::move(name.text);
    auto [earlier, fresh] = seen.emplace(text, name.range);
    if (!fresh && !stream_.keeps_errors()) {
      stream_.error(name.range, "", "");
      return true;
    }
    if (!fresh) {
      Position position = position_at(stream_.source(), earlier->second.start);
      stream_.error(name.range, "Attribute redefined",
                    std::format("The argument \"{}\" was already set at {}:{}. Each argument may be set only once.",
                                text, stream_.source().name, position.line));
      return true;
    }
    body.attributes.push_back({std::move(text), name.range, std::move(expr)});
    return true;
  }

  bool parse_block(Label name, Block& block) {
    block.type = std::move(name.text);
    block.type_range = name.range;
    while (!stream_.at(TokenKind::kOpenBrace)) {
      const Token token = stream_.peek();
      if (token.kind == TokenKind::kIdentifier) {
        stream_.next();
        block.labels.push_back({std::string(stream_.text(token)), token.range});
      } else if (token.kind == TokenKind::kOpenQuote) {
        auto label = expressions_.parse_plain_string();
        if (!label) return false;
        block.labels.push_back(*std::move(label));
      } else {
        stream_.error(token.range, "Invalid block definition",
                      std::format("Expected a label in quotes or an opening brace \"{{\", but found {}.",
                                  stream_.describe(token)));
        return false;
      }
    }
    block.header = {name.range.start, stream_.last_end()};
    return parse_braces(block);
  }

  bool parse_braces(Block& block) {
    Token open = stream_.peek();
    if (!expressions_.enter(open.range)) return false;
    stream_.next();
    bool one_line = !lenient_ && !stream_.at(TokenKind::kNewline);
    if (one_line) {
      bool ok = parse_one_line(block.body);
      expressions_.leave();
      return ok;
    }
    block.body = parse_items(TokenKind::kCloseBrace);
    expressions_.leave();
    if (stream_.take(TokenKind::kCloseBrace)) return true;
    if (!expressions_.gave_up()) {
      stream_.error(open.range, "Unclosed configuration block",
                    "There is no closing brace for this block before the end of the file.");
    }
    return false;
  }

  // `name { }` or `name { key = value }`: at most one attribute and no line end.
  bool parse_one_line(Body& body) {
    body.range.start = stream_.last_end();
    Seen seen;
    if (!stream_.at(TokenKind::kCloseBrace)) {
      const Token name = stream_.peek();
      if (name.kind != TokenKind::kIdentifier || stream_.peek_second().kind != TokenKind::kAssign) {
        stream_.error(
            name.range, "Invalid single-line block",
            std::format(
                "Expected a line end after the opening brace, or one argument and the closing brace, but found {}.",
                stream_.describe(name)));
        return false;
      }
      stream_.next();
      if (!parse_attribute(body, seen, {std::string(stream_.text(name)), name.range})) return false;
    }
    body.range.end = stream_.peek().range.start;
    if (stream_.take(TokenKind::kCloseBrace)) return true;
    const Token found = stream_.peek();
    stream_.error(found.range, "Invalid single-line block",
                  std::format("A block on one line holds at most one argument, then \"}}\"; found {}. Put each "
                              "argument on a line of its own.",
                              stream_.describe(found)));
    return false;
  }

  TokenStream& stream_;
  ExpressionParser expressions_;
  bool lenient_;
};

}  // namespace

const Attribute* Body::find(std::string_view name) const {
  auto found = std::find_if(attributes.begin(), attributes.end(), [&](const Attribute& a) { return a.name == name; });
  return found == attributes.end() ? nullptr : &*found;
}

Body parse_body(const Source& source, Diagnostics& diagnostics, Dialect dialect) {
  size_t before = diagnostics.error_count();
  std::vector<Token> tokens = lex(source, LexMode::kExpression, diagnostics);
  // A broken token hides the end of what it stands in: anything said after it would mislead.
  if (diagnostics.error_count() != before) return {};
  TokenStream stream(source, std::move(tokens), diagnostics);
  BodyParser parser(stream, dialect);
  return parser.parse_items(TokenKind::kEnd);
}

ExprPtr parse_expression(const Source& source, Diagnostics& diagnostics) {
  size_t before = diagnostics.error_count();
  std::vector<Token> tokens = lex(source, LexMode::kExpression, diagnostics);
  if (diagnostics.error_count() != before) return nullptr;
  TokenStream stream(source, std::move(tokens), diagnostics);
  TokenStream::LineScope lines(stream, true);
  ExpressionParser parser(stream);
  ExprPtr expr = parser.parse();
  if (expr && !stream.at(TokenKind::kEnd)) {
    stream.error(stream.peek().range, "Extra characters after expression",
                 std::format("The expression is complete, but {} follows.", stream.describe(stream.peek())));
    return nullptr;
  }
  return expr;
}

ExprPtr parse_template(const Source& source, Diagnostics& diagnostics) {
  size_t before = diagnostics.error_count();
  std::vector<Token> tokens = lex(source, LexMode::kTemplate, diagnostics);
  if (diagnostics.error_count() != before) return nullptr;
  TokenStream stream(source, std::move(tokens), diagnostics);
  return ExpressionParser(stream).parse_bare_template();
}

}  // namespace steppe::hcl
