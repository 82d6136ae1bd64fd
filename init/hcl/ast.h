#pragma once

#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "init/hcl/source.h"
#include "init/hcl/value.h"

namespace steppe::hcl {

// The syntax tree: plain data. A tree's depth is bounded by kMaxSyntaxDepth, so walking it by recursion is safe.
inline constexpr uint32_t kMaxSyntaxDepth = 200;

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

struct LiteralExpr {
  Value value;
};

// `.name`, `[expr]`, or `.0` (an old spelling of [0]).
struct Step {
  std::string name;  // of an attribute step
  ExprPtr index;     // of an index step; null for an attribute
  Range range;
};

// A name in scope and the steps with constant indexes that follow it: `local.ports[0].to`.
struct ReferenceExpr {
  std::string root;
  std::vector<Step> steps;
};

// What follows any other expression, and steps from the first calculated index on: `merge(a, b).x`, `a[local.i].x`.
struct AccessExpr {
  ExprPtr object;
  std::vector<Step> steps;
};

// `list[*].a[0]` (full: every step applies to each item) or `list.*.a` (attribute steps only apply to each item; the
// parser leaves the following index steps to an AccessExpr around this one). `each` says what becomes of one item,
// which stands in it as an ItemExpr.
struct SplatExpr {
  ExprPtr object;
  ExprPtr each;
};
struct ItemExpr {};

struct CallExpr {
  std::string name;
  Range name_range;
  std::vector<ExprPtr> arguments;
  bool expands_last = false;  // `f(list...)`
};

struct ConditionalExpr {
  ExprPtr condition, then, otherwise;
};

enum class UnaryOp : uint8_t { kNegate, kNot };
struct UnaryExpr {
  UnaryOp op;
  ExprPtr operand;
};

enum class BinaryOp : uint8_t {
  kOr,
  kAnd,
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kModulo
};
struct BinaryExpr {
  BinaryOp op;
  ExprPtr left, right;
};

struct TupleExpr {
  std::vector<ExprPtr> items;
};

struct ObjectExpr {
  struct Item {
    ExprPtr key;  // a bare name stands as a literal
    ExprPtr value;
  };
  std::vector<Item> items;
};

// `[for k, v in source : value if filter]` or `{for k, v in source : key => value... if filter}`.
struct ForExpr {
  std::string key_name;  // empty when only one name is given
  std::string value_name;
  ExprPtr source;
  ExprPtr key;  // null for the tuple form
  ExprPtr value;
  ExprPtr filter;  // may be null
  bool groups = false;
};

// Text with holes. A part is a string or an expression; a template that is one interpolation and nothing else is
// represented by that expression itself, so it keeps its type.
struct TemplateExpr {
  std::vector<std::variant<std::string, ExprPtr>> parts;
};

// `%{ for v in source }body%{ endfor }`: the bodies' texts, one after the other.
struct TemplateForExpr {
  std::string key_name, value_name;
  ExprPtr source, body;
};

struct Expr {
  Range range;
  uint32_t depth = 1;
  std::variant<LiteralExpr, ReferenceExpr, AccessExpr, SplatExpr, ItemExpr, CallExpr, ConditionalExpr, UnaryExpr,
               BinaryExpr, TupleExpr, ObjectExpr, ForExpr, TemplateExpr, TemplateForExpr>
      node;
};

struct Attribute {
  std::string name;
  Range name_range;
  ExprPtr expr;
};

struct Label {
  std::string text;
  Range range;
};

struct Block;

// Attributes and blocks each in the order of the text; attribute names are unique.
struct Body {
  std::vector<Attribute> attributes;
  std::vector<Block> blocks;
  Range range;

  const Attribute* find(std::string_view name) const;
};

struct Block {
  std::string type;
  Range type_range;
  std::vector<Label> labels;
  Body body;
  Range header;  // type and labels
};

}  // namespace steppe::hcl
