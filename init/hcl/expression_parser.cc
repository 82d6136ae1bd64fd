#include "init/hcl/expression_parser.h"

#include <algorithm>
#include <format>

namespace steppe::hcl {
namespace {

struct Infix {
  TokenKind token;
  BinaryOp op;
  int precedence;
};
constexpr Infix kInfixes[] = {
    {TokenKind::kOr, BinaryOp::kOr, 1},           {TokenKind::kAnd, BinaryOp::kAnd, 2},
    {TokenKind::kEqual, BinaryOp::kEqual, 3},     {TokenKind::kNotEqual, BinaryOp::kNotEqual, 3},
    {TokenKind::kLess, BinaryOp::kLess, 4},       {TokenKind::kLessEqual, BinaryOp::kLessEqual, 4},
    {TokenKind::kGreater, BinaryOp::kGreater, 4}, {TokenKind::kGreaterEqual, BinaryOp::kGreaterEqual, 4},
    {TokenKind::kPlus, BinaryOp::kAdd, 5},        {TokenKind::kMinus, BinaryOp::kSubtract, 5},
    {TokenKind::kStar, BinaryOp::kMultiply, 6},   {TokenKind::kSlash, BinaryOp::kDivide, 6},
    {TokenKind::kPercent, BinaryOp::kModulo, 6},
};

const Infix* infix_of(TokenKind kind) {
  for (const Infix& infix : kInfixes) {
    if (infix.token == kind) return &infix;
  }
  return nullptr;
}

}  // namespace

bool ExpressionParser::enter(Range where) {
  if (nesting_ < kMaxSyntaxDepth) {
    ++nesting_;
    return true;
  }
  if (!gave_up_) {
    stream_.error(where, "Nesting too deep",
                  std::format("Blocks, brackets and operators may be nested at most {} deep.", kMaxSyntaxDepth));
  }
  gave_up_ = true;
  return false;
}

ExprPtr ExpressionParser::make(Range range, decltype(Expr::node) node, std::initializer_list<const Expr*> children) {
  uint32_t deepest = 0;
  for (const Expr* child : children) deepest = std::max(deepest, child ? child->depth : 0);
  return finish(range, std::move(node), deepest);
}

ExprPtr ExpressionParser::finish(Range range, decltype(Expr::node) node, uint32_t deepest_child) {
  // A chain of operators grows to the left without recursion in the parser, but is walked by recursion later.
  if (deepest_child >= 2 * kMaxSyntaxDepth) {
    if (!gave_up_) {
      stream_.error(
          range, "Expression too long",
          std::format("At most {} operators may follow one another; use brackets or locals.", 2 * kMaxSyntaxDepth));
    }
    gave_up_ = true;
    return nullptr;
  }
  auto expr = std::make_unique<Expr>();
  expr->range = range;
  expr->depth = deepest_child + 1;
  expr->node = std::move(node);
  return expr;
}

bool ExpressionParser::expect(TokenKind kind, std::string_view summary, std::string_view detail) {
  if (stream_.take(kind)) return true;
  const Token& found = stream_.peek();
  stream_.error(found.range, std::string(summary), std::format("{} Found {}.", detail, stream_.describe(found)));
  return false;
}

ExprPtr ExpressionParser::parse() {
  Level level(*this);
  if (!level.ok()) return nullptr;
  ExprPtr condition = parse_binary(1);
  if (!condition || !stream_.take(TokenKind::kQuestion)) return condition;
  ExprPtr then = parse();
  if (!then) return nullptr;
  if (!expect(TokenKind::kColon, "Missing false expression in conditional",
              "The conditional operator (…?…:…) requires a second result after a colon.")) {
    return nullptr;
  }
  ExprPtr otherwise = parse();
  if (!otherwise) return nullptr;
  Range range = cover(condition->range, otherwise->range);
  auto children = {static_cast<const Expr*>(condition.get()), static_cast<const Expr*>(then.get()),
                   static_cast<const Expr*>(otherwise.get())};
  return make(range, ConditionalExpr{std::move(condition), std::move(then), std::move(otherwise)}, children);
}

ExprPtr ExpressionParser::parse_binary(int min_precedence) {
  ExprPtr left = parse_unary();
  while (left) {
    const Infix* infix = infix_of(stream_.peek().kind);
    if (!infix || infix->precedence < min_precedence) return left;
    stream_.next();
    ExprPtr right = parse_binary(infix->precedence + 1);
    if (!right) return nullptr;
    uint32_t deepest = std::max(left->depth, right->depth);
    Range range = cover(left->range, right->range);
    left = finish(range, BinaryExpr{infix->op, std::move(left), std::move(right)}, deepest);
  }
  return nullptr;
}

ExprPtr ExpressionParser::parse_unary() {
  TokenKind kind = stream_.peek().kind;
  if (kind != TokenKind::kMinus && kind != TokenKind::kNot) {
    ExprPtr primary = parse_primary();
    return primary;
  }
  Level level(*this);
  if (!level.ok()) return nullptr;
  Token sign = stream_.next();
  ExprPtr operand = parse_unary();
  if (!operand) return nullptr;
  uint32_t deepest = operand->depth;
  Range range = cover(sign.range, operand->range);
  return finish(range, UnaryExpr{kind == TokenKind::kMinus ? UnaryOp::kNegate : UnaryOp::kNot, std::move(operand)},
                deepest);
}

ExprPtr ExpressionParser::parse_primary() {
  const Token& token = stream_.peek();
  switch (token.kind) {
    case TokenKind::kIdentifier: return parse_name();
    case TokenKind::kNumber: {
      Token number = stream_.next();
      auto value = Number::parse(stream_.text(number));
      if (!value.ok()) {
        stream_.error(number.range, "Invalid number literal", value.error().message() + ".");
        return nullptr;
      }
      return parse_steps(make(number.range, LiteralExpr{Value(*value)}), false);
    }
    case TokenKind::kOpenQuote: return parse_steps(parse_quoted(), false);
    case TokenKind::kOpenHeredoc: return parse_heredoc();
    case TokenKind::kOpenParen: return parse_steps(parse_parenthesised(), false);
    case TokenKind::kOpenBracket: return parse_steps(parse_tuple(), false);
    case TokenKind::kOpenBrace: return parse_steps(parse_object(), false);
    default:
      stream_.error(
          token.range, "Invalid expression",
          std::format("Expected the start of an expression (a value, a name, a string, or one of ( [ {{ - !), "
                      "but found {}.",
                      stream_.describe(token)));
      return nullptr;
  }
}

ExprPtr ExpressionParser::parse_name() {
  if (stream_.peek_second().kind == TokenKind::kOpenParen) return parse_steps(parse_call(), false);
  Token token = stream_.next();
  std::string_view name = stream_.text(token);
  if (name == "true" || name == "false")
    return parse_steps(make(token.range, LiteralExpr{Value(name == "true")}), false);
  if (name == "null") return parse_steps(make(token.range, LiteralExpr{Value()}), false);
  return parse_steps(make(token.range, ReferenceExpr{std::string(name), {}}), true);
}

ExprPtr ExpressionParser::parse_call() {
  Token name = stream_.next();
  CallExpr call{std::string(stream_.text(name)), name.range, {}};
  TokenStream::LineScope lines(stream_, true);
  stream_.next();  // the parenthesis
  uint32_t deepest = 0;
  while (!stream_.at(TokenKind::kCloseParen)) {
    ExprPtr argument = parse();
    if (!argument) return nullptr;
    deepest = std::max(deepest, argument->depth);
    call.arguments.push_back(std::move(argument));
    if (stream_.take(TokenKind::kEllipsis)) {
      call.expands_last = true;
      break;
    }
    if (!stream_.take(TokenKind::kComma)) break;
  }
  if (!expect(TokenKind::kCloseParen, "Missing argument separator",
              call.expands_last ? "An expanded argument (…) must be the last one, followed by \")\"."
                                : "A comma must separate each argument from the next, and \")\" end the call.")) {
    return nullptr;
  }
  return finish({name.range.start, stream_.last_end()}, std::move(call), deepest);
}

ExprPtr ExpressionParser::parse_parenthesised() {
  TokenStream::LineScope lines(stream_, true);
  stream_.next();
  ExprPtr inner = parse();
  if (!inner) return nullptr;
  if (!expect(TokenKind::kCloseParen, "Unbalanced parentheses", "Expected \")\" to close this bracket."))
    return nullptr;
  return inner;
}

bool ExpressionParser::at_for() {
  const Token& token = stream_.peek();
  if (token.kind != TokenKind::kIdentifier || stream_.text(token) != "for") return false;
  return stream_.peek_second().kind == TokenKind::kIdentifier;
}

ExprPtr ExpressionParser::parse_tuple() {
  TokenStream::LineScope lines(stream_, true);
  Token open = stream_.next();
  if (at_for()) return parse_for(false);
  TupleExpr tuple;
  uint32_t deepest = 0;
  while (!stream_.at(TokenKind::kCloseBracket)) {
    ExprPtr item = parse();
    if (!item) return nullptr;
    deepest = std::max(deepest, item->depth);
    tuple.items.push_back(std::move(item));
    if (!stream_.take(TokenKind::kComma)) break;
  }
  if (!expect(TokenKind::kCloseBracket, "Missing item separator",
              "A comma must separate each item from the next, and \"]\" end the list.")) {
    return nullptr;
  }
  return finish({open.range.start, stream_.last_end()}, std::move(tuple), deepest);
}

ExprPtr ExpressionParser::parse_object() {
  TokenStream::LineScope lines(stream_, false);
  Token open = stream_.next();
  {
    TokenStream::LineScope hidden(stream_, true);
    if (at_for()) return parse_for(true);
  }
  ObjectExpr object;
  uint32_t deepest = 0;
  for (;;) {
    while (stream_.take(TokenKind::kNewline)) {
    }
    if (stream_.take(TokenKind::kCloseBrace)) break;
    if (!parse_object_item(object, deepest)) return nullptr;
    if (stream_.take(TokenKind::kComma) || stream_.take(TokenKind::kNewline)) continue;
    if (!expect(TokenKind::kCloseBrace, "Missing attribute separator",
                "A line end or a comma must separate each attribute of an object from the next, and \"}\" end it.")) {
      return nullptr;
    }
    break;
  }
  return finish({open.range.start, stream_.last_end()}, std::move(object), deepest);
}

ExprPtr ExpressionParser::parse_object_key() {
  const Token& token = stream_.peek();
  TokenKind second = stream_.peek_second().kind;
  if (token.kind == TokenKind::kIdentifier && (second == TokenKind::kAssign || second == TokenKind::kColon)) {
    Token name = stream_.next();
    return make(name.range, LiteralExpr{Value(stream_.text(name))});
  }
  bool bracketed = token.kind == TokenKind::kOpenParen;
  ExprPtr key = parse();
  if (key && !bracketed && std::holds_alternative<ReferenceExpr>(key->node) &&
      !std::get<ReferenceExpr>(key->node).steps.empty()) {
    stream_.error(key->range, "Ambiguous attribute key",
                  "To use this as an expression, put it in parentheses; to use it as a name, put it in quotes.");
    return nullptr;
  }
  return key;
}

bool ExpressionParser::parse_object_item(ObjectExpr& object, uint32_t& deepest) {
  ExprPtr key = parse_object_key();
  if (!key) return false;
  if (!stream_.take(TokenKind::kAssign) &&
      !expect(TokenKind::kColon, "Missing attribute value",
              "Expected an attribute value, introduced by an equals sign (\"=\") or a colon (\":\").")) {
    return false;
  }
  ExprPtr value = parse();
  if (!value) return false;
  deepest = std::max({deepest, key->depth, value->depth});
  object.items.push_back({std::move(key), std::move(value)});
  return true;
}

bool ExpressionParser::parse_for_intro(ForIntro& intro) {
  stream_.next();  // "for"
  auto name = [&](std::string& into) {
    const Token token = stream_.peek();
    if (!expect(TokenKind::kIdentifier, "Invalid 'for' expression", "A 'for' needs a name for each item."))
      return false;
    into = stream_.text(token);
    return true;
  };
  if (!name(intro.value_name)) return false;
  if (stream_.take(TokenKind::kComma)) {
    intro.key_name = intro.value_name;
    if (!name(intro.value_name)) return false;
  }
  const Token in = stream_.peek();
  if (in.kind != TokenKind::kIdentifier || stream_.text(in) != "in") {
    stream_.error(in.range, "Invalid 'for' expression",
                  std::format("Expected \"in\" after the names, but found {}.", stream_.describe(in)));
    return false;
  }
  stream_.next();
  intro.source = parse();
  return intro.source != nullptr;
}

ExprPtr ExpressionParser::parse_for(bool object) {
  uint32_t start = stream_.last_end() - 1;  // the bracket was taken just before
  ForIntro intro;
  if (!parse_for_intro(intro)) return nullptr;
  if (!expect(TokenKind::kColon, "Invalid 'for' expression", "A colon must follow the collection.")) return nullptr;
  ForExpr loop{std::move(intro.key_name), std::move(intro.value_name), std::move(intro.source), {}, {}, {}};
  loop.value = parse();
  if (!loop.value) return nullptr;
  if (object) {
    if (!expect(TokenKind::kArrow, "Invalid 'for' expression",
                "An object needs a key and a value for each item, divided by \"=>\".")) {
      return nullptr;
    }
    loop.key = std::move(loop.value);
    loop.value = parse();
    if (!loop.value) return nullptr;
    loop.groups = stream_.take(TokenKind::kEllipsis);
  }
  if (const Token& token = stream_.peek(); token.kind == TokenKind::kIdentifier && stream_.text(token) == "if") {
    stream_.next();
    loop.filter = parse();
    if (!loop.filter) return nullptr;
  }
  if (!expect(object ? TokenKind::kCloseBrace : TokenKind::kCloseBracket, "Invalid 'for' expression",
              object ? "Expected \"}\" to end the expression." : "Expected \"]\" to end the expression.")) {
    return nullptr;
  }
  uint32_t deepest = std::max(
      {loop.source->depth, loop.value->depth, loop.key ? loop.key->depth : 0, loop.filter ? loop.filter->depth : 0});
  return finish({start, stream_.last_end()}, std::move(loop), deepest);
}

ExprPtr ExpressionParser::append_step(ExprPtr base, bool plain_name, Step step) {
  Range range = cover(base->range, step.range);
  bool constant = !step.index || std::holds_alternative<LiteralExpr>(step.index->node);
  uint32_t deepest = std::max(base->depth, step.index ? step.index->depth + 1 : 0);
  if (auto* reference = std::get_if<ReferenceExpr>(&base->node); reference && plain_name && constant) {
    reference->steps.push_back(std::move(step));
  } else if (auto* access = std::get_if<AccessExpr>(&base->node); access && plain_name) {
    access->steps.push_back(std::move(step));
  } else {
    AccessExpr fresh{std::move(base), {}};
    fresh.steps.push_back(std::move(step));
    return finish(range, std::move(fresh), deepest);
  }
  base->range = range;
  base->depth = deepest;
  return base;
}

// `plain_name`: the base was built from a name and steps, without brackets around it, so steps may join it.
ExprPtr ExpressionParser::parse_steps(ExprPtr base, bool plain_name) {
  while (base) {
    if (stream_.at(TokenKind::kOpenBracket)) {
      bool splatted = false;
      base = parse_index(std::move(base), plain_name, splatted);
      if (splatted) return base;
      plain_name = true;
      continue;
    }
    if (!stream_.at(TokenKind::kDot)) return base;
    if (stream_.peek_second().kind == TokenKind::kStar) {
      base = parse_attribute_splat(std::move(base));
      plain_name = false;
      continue;
    }
    std::vector<Step> steps;
    if (!parse_dot_steps(steps)) return nullptr;
    for (Step& step : steps) {
      if (base) base = append_step(std::move(base), plain_name, std::move(step));
      plain_name = true;
    }
  }
  return nullptr;
}

// One ".name" or ".0"; ".0.1" reads as a dot and the number 0.1 and yields two steps.
bool ExpressionParser::parse_dot_steps(std::vector<Step>& steps) {
  Token dot = stream_.next();
  Token token = stream_.peek();
  if (token.kind == TokenKind::kIdentifier) {
    stream_.next();
    steps.push_back({std::string(stream_.text(token)), nullptr, cover(dot.range, token.range)});
    return true;
  }
  std::string_view digits = stream_.text(token);
  if (token.kind != TokenKind::kNumber || digits.find_first_not_of("0123456789.") != digits.npos) {
    stream_.error(token.range, "Invalid attribute name",
                  std::format("An attribute name must follow a dot, but found {}.", stream_.describe(token)));
    return false;
  }
  stream_.next();
  while (!digits.empty()) {
    std::string_view one = digits.substr(0, digits.find('.'));
    digits.remove_prefix(std::min(digits.size(), one.size() + 1));
    auto number = Number::parse(one);
    if (!number.ok()) {
      stream_.error(token.range, "Invalid legacy index", number.error().message() + ".");
      return false;
    }
    steps.push_back({"", make(token.range, LiteralExpr{Value(*number)}), cover(dot.range, token.range)});
  }
  return true;
}

ExprPtr ExpressionParser::parse_attribute_splat(ExprPtr base) {
  stream_.next();
  Token star = stream_.next();
  ExprPtr each = make(star.range, ItemExpr{});
  while (each && stream_.at(TokenKind::kDot)) {
    if (stream_.peek_second().kind == TokenKind::kStar) {
      stream_.error(stream_.peek().range, "Nested splat expression not allowed",
                    "A splat expression (*) cannot be used inside another attribute-only splat; use [*].");
      return nullptr;
    }
    std::vector<Step> steps;
    if (!parse_dot_steps(steps)) return nullptr;
    for (Step& step : steps) {
      if (each) each = append_step(std::move(each), true, std::move(step));
    }
  }
  if (!each) return nullptr;
  uint32_t deepest = std::max(base->depth, each->depth);
  Range range{base->range.start, stream_.last_end()};
  return finish(range, SplatExpr{std::move(base), std::move(each)}, deepest);
}

ExprPtr ExpressionParser::parse_index(ExprPtr base, bool plain_name, bool& splatted) {
  Level level(*this);
  if (!level.ok()) return nullptr;
  Token open;
  ExprPtr index;
  {
    TokenStream::LineScope lines(stream_, true);
    open = stream_.next();
    if (stream_.at(TokenKind::kStar)) {
      stream_.next();
      splatted = true;
    } else {
      index = parse();
      if (!index) return nullptr;
    }
    if (!expect(TokenKind::kCloseBracket, "Missing close bracket on index",
                "The index operator must end with \"]\".")) {
      return nullptr;
    }
  }
  Range range{open.range.start, stream_.last_end()};
  if (!splatted) return append_step(std::move(base), plain_name, {"", std::move(index), range});
  ExprPtr each = parse_steps(make(range, ItemExpr{}), true);
  if (!each) return nullptr;
  uint32_t deepest = std::max(base->depth, each->depth);
  Range whole{base->range.start, stream_.last_end()};
  return finish(whole, SplatExpr{std::move(base), std::move(each)}, deepest);
}

}  // namespace steppe::hcl
