#include "init/hcl/eval.h"

#include <algorithm>
#include <format>

#include "init/hcl/eval_steps.h"

namespace steppe::hcl {
namespace {

std::optional<Value> evaluate_node(const Expr& expr, Evaluation& ev);

std::nullopt_t fail(Evaluation& ev, Range range, std::string summary, std::string detail) {
  ev.diagnostics.error(ev.source, range, std::move(summary), std::move(detail));
  return std::nullopt;
}

// Charges what a new value adds to its parts and turns limit errors into diagnostics.
std::optional<Value> made(Evaluation& ev, Range range, Result<Value> value) {
  if (!value.ok()) return fail(ev, range, "Value too large", value.error().message() + ".");
  uint64_t own = value->is_sequence() || value->is_mapping() ? 64 * (value->size() + 1) : value->weight();
  if (auto paid = ev.budget.take_bytes(own); !paid.ok()) {
    return fail(ev, range, "Evaluation limit reached", paid.error().message() + ".");
  }
  return *std::move(value);
}

std::optional<Value> convert_operand(Evaluation& ev, const Expr& operand, const Type& type, std::string_view side) {
  auto value = evaluate(operand, ev);
  if (!value) return std::nullopt;
  if (value->is_null()) {
    return fail(ev, operand.range, "Operation failed",
                std::format("The {} operand is null; a {} is required.", side, type.text()));
  }
  auto converted = convert(*value, type);
  if (!converted.ok()) {
    return fail(ev, operand.range, "Invalid operand",
                std::format("Unsuitable value for {} operand: {}.", side, converted.error().message()));
  }
  return *std::move(converted);
}

std::optional<Value> evaluate_unary(const UnaryExpr& unary, const Expr& expr, Evaluation& ev) {
  bool negates = unary.op == UnaryOp::kNegate;
  auto value = convert_operand(ev, *unary.operand, negates ? Type::number() : Type::boolean(), "unary");
  if (!value) return std::nullopt;
  if (!negates) return Value(!value->boolean());
  auto result = negate(value->number());
  if (!result.ok()) return fail(ev, expr.range, "Operation failed", result.error().message() + ".");
  return Value(*result);
}

Result<Value> calculate(BinaryOp op, Number a, Number b) {
  auto wrap = [](Result<Number> number) -> Result<Value> {
    if (!number.ok()) return std::move(number).error();
    return Value(*number);
  };
  switch (op) {
    case BinaryOp::kAdd: return wrap(add(a, b));
    case BinaryOp::kSubtract: return wrap(subtract(a, b));
    case BinaryOp::kMultiply: return wrap(multiply(a, b));
    case BinaryOp::kDivide: return wrap(divide(a, b));
    case BinaryOp::kModulo: return wrap(remainder(a, b));
    case BinaryOp::kLess: return Value(a < b);
    case BinaryOp::kLessEqual: return Value(a <= b);
    case BinaryOp::kGreater: return Value(a > b);
    default: return Value(a >= b);
  }
}

std::optional<Value> evaluate_binary(const BinaryExpr& binary, const Expr& expr, Evaluation& ev) {
  if (binary.op == BinaryOp::kEqual || binary.op == BinaryOp::kNotEqual) {
    auto left = evaluate(*binary.left, ev);
    auto right = left ? evaluate(*binary.right, ev) : std::nullopt;
    if (!right) return std::nullopt;
    if (auto paid = ev.budget.take_steps(std::min(left->weight(), right->weight()) / 16); !paid.ok()) {
      return fail(ev, expr.range, "Evaluation limit reached", paid.error().message() + ".");
    }
    return Value((*left == *right) == (binary.op == BinaryOp::kEqual));
  }
  bool logical = binary.op == BinaryOp::kAnd || binary.op == BinaryOp::kOr;
  const Type type = logical ? Type::boolean() : Type::number();
  auto left = convert_operand(ev, *binary.left, type, "left");
  if (!left) return std::nullopt;
  // HCL evaluates both sides; a decided left side hides faults of the right one, so that `x != null && x > 3` works.
  if (logical && left->boolean() == (binary.op == BinaryOp::kOr)) return left;
  auto right = convert_operand(ev, *binary.right, type, "right");
  if (!right || logical) return right;
  auto result = calculate(binary.op, left->number(), right->number());
  if (!result.ok()) return fail(ev, expr.range, "Operation failed", result.error().message() + ".");
  return *std::move(result);
}

std::optional<Value> evaluate_conditional(const ConditionalExpr& conditional, Evaluation& ev) {
  auto condition = evaluate(*conditional.condition, ev);
  if (!condition) return std::nullopt;
  auto decided = convert(*condition, Type::boolean());
  if (!decided.ok() || decided->is_null()) {
    std::string found = condition->is_null() ? "found null" : decided.error().message();
    return fail(ev, conditional.condition->range, "Incorrect condition type",
                std::format("The condition must be true or false: {}.", found));
  }
  const Expr& chosen = decided->boolean() ? *conditional.then : *conditional.otherwise;
  const Expr& other = decided->boolean() ? *conditional.otherwise : *conditional.then;
  auto value = evaluate(chosen, ev);
  if (!value) return std::nullopt;
  // The result has the type that fits both branches. The branch not taken is evaluated for its type only; when that
  // fails (`x == null ? 0 : x.size`) the chosen one stands as it is.
  Diagnostics unheard;
  Evaluation silent{ev.source, ev.scope, ev.functions, ev.budget, unheard, ev.unknown_name, ev.splat_item};
  auto alternative = evaluate(other, silent);
  if (!alternative || alternative->is_null() || value->kind() == Kind::kNull) return value;
  if (value->kind() == alternative->kind() && value->depth() == 0) return value;
  if (auto paid = ev.budget.take_steps((value->weight() + alternative->weight()) / 16); !paid.ok()) {
    return fail(ev, chosen.range, "Evaluation limit reached", paid.error().message() + ".");
  }
  auto common = unify({type_of(*value), type_of(*alternative)});
  if (!common) {
    const Value& then = decided->boolean() ? *value : *alternative;
    const Value& otherwise = decided->boolean() ? *alternative : *value;
    return fail(
        ev, cover(conditional.then->range, conditional.otherwise->range), "Inconsistent conditional result types",
        std::format("The true and false result expressions must have consistent types. The 'true' value is {}, but "
                    "the 'false' value is {}.",
                    then.type_name(), otherwise.type_name()));
  }
  return made(ev, chosen.range, convert(*value, *common));
}

std::optional<Value> evaluate_tuple(const TupleExpr& tuple, const Expr& expr, Evaluation& ev) {
  Value::Sequence items;
  items.reserve(tuple.items.size());
  bool ok = true;
  for (const ExprPtr& item : tuple.items) {
    auto value = evaluate(*item, ev);
    ok = ok && value;
    if (ok) items.push_back(*std::move(value));
  }
  if (!ok) return std::nullopt;
  return made(ev, expr.range, Value::make_sequence(Kind::kTuple, std::move(items)));
}

// A key of an object: any value that becomes text, but not null.
std::optional<std::string> evaluate_key(const Expr& expr, Evaluation& ev) {
  auto value = evaluate(expr, ev);
  if (!value) return std::nullopt;
  if (value->is_null()) {
    fail(ev, expr.range, "Null value as key", "Can't use a null value as a key.");
    return std::nullopt;
  }
  auto text = convert(*value, Type::string());
  if (!text.ok()) {
    fail(ev, expr.range, "Incorrect key type",
         std::format("Can't use this value as a key: {}.", text.error().message()));
    return std::nullopt;
  }
  return text->string();
}

std::optional<Value> evaluate_object(const ObjectExpr& object, const Expr& expr, Evaluation& ev) {
  Value::Mapping items;
  bool ok = true;
  for (const ObjectExpr::Item& item : object.items) {
    auto key = evaluate_key(*item.key, ev);
    auto value = evaluate(*item.value, ev);
    ok = ok && key && value;
    if (ok) items.insert_or_assign(*std::move(key), *std::move(value));
  }
  if (!ok) return std::nullopt;
  return made(ev, expr.range, Value::make_mapping(Kind::kObject, std::move(items)));
}

// Calls `body(key, value)` for each item; false ends the loop, after body has reported why.
template <class Body>
bool for_each_item(const Expr& source, Evaluation& ev, Body body) {
  auto collection = evaluate(source, ev);
  if (!collection) return false;
  if (collection->is_sequence()) {
    int64_t index = 0;
    for (const Value& item : collection->sequence()) {
      if (!body(collection->kind() == Kind::kSet ? item : Value(Number(index++)), item)) return false;
    }
    return true;
  }
  if (collection->is_mapping()) {
    for (const auto& [key, item] : collection->mapping()) {
      if (!body(Value(key), item)) return false;
    }
    return true;
  }
  fail(ev, source.range, collection->is_null() ? "Iteration over null value" : "Iteration over non-iterable value",
       std::format("A value of type {} cannot be iterated: a list, set, tuple, map or object is needed.",
                   collection->type_name()));
  return false;
}

class ForLoop {
 public:
  ForLoop(const ForExpr& loop, const Expr& expr, Evaluation& ev) : loop_(loop), expr_(expr), ev_(ev) {}

  std::optional<Value> run() {
    Scope inner{{}, ev_.scope};
    Evaluation ev{ev_.source, &inner, ev_.functions, ev_.budget, ev_.diagnostics, ev_.unknown_name, ev_.splat_item};
    bool ok = for_each_item(*loop_.source, ev_, [&](const Value& key, const Value& value) {
      if (!loop_.key_name.empty()) inner.variables.insert_or_assign(loop_.key_name, key);
      inner.variables.insert_or_assign(loop_.value_name, value);
      return visit(ev);
    });
    if (!ok) return std::nullopt;
    if (!loop_.key) return made(ev_, expr_.range, Value::make_sequence(Kind::kTuple, std::move(items_)));
    if (!loop_.groups) return made(ev_, expr_.range, Value::make_mapping(Kind::kObject, std::move(mapping_)));
    for (auto& [key, group] : groups_) {
      auto value = made(ev_, expr_.range, Value::make_sequence(Kind::kTuple, std::move(group)));
      if (!value) return std::nullopt;
      mapping_.emplace(key, *std::move(value));
    }
    return made(ev_, expr_.range, Value::make_mapping(Kind::kObject, std::move(mapping_)));
  }

 private:
  bool visit(Evaluation& ev) {
    if (loop_.filter) {
      auto wanted = evaluate(*loop_.filter, ev);
      if (!wanted) return false;
      auto decided = convert(*wanted, Type::boolean());
      if (!decided.ok() || decided->is_null()) {
        fail(ev, loop_.filter->range, "Invalid 'for' condition",
             "The 'if' clause must be true or false for every item.");
        return false;
      }
      if (!decided->boolean()) return true;
    }
    std::optional<std::string> key;
    if (loop_.key) {
      key = evaluate_key(*loop_.key, ev);
      if (!key) return false;
    }
    auto value = evaluate(*loop_.value, ev);
    if (!value) return false;
    // Results pile up before the collection is made: they are paid for one by one.
    if (auto paid = ev.budget.take_bytes(64 + (key ? key->size() : 0)); !paid.ok()) {
      fail(ev, expr_.range, "Evaluation limit reached", paid.error().message() + ".");
      return false;
    }
    if (!key) {
      items_.push_back(*std::move(value));
    } else if (loop_.groups) {
      groups_[*std::move(key)].push_back(*std::move(value));
    } else if (auto [at, fresh] = mapping_.emplace(*key, *std::move(value)); !fresh) {
      fail(ev, loop_.key->range, "Duplicate object key",
           std::format(
               "Two different items produced the key \"{}\" in this 'for' expression. If duplicates are expected, use "
               "the ellipsis (...) after the value expression to enable grouping by key.",
               at->first));
      return false;
    }
    return true;
  }

  const ForExpr& loop_;
  const Expr& expr_;
  Evaluation& ev_;
  Value::Sequence items_;
  Value::Mapping mapping_;
  std::map<std::string, Value::Sequence> groups_;
};

bool append_text(std::string& out, const Value& value, const Expr& from, Evaluation& ev) {
  if (value.is_null()) {
    fail(ev, from.range, "Invalid template interpolation value",
         "The expression result is null. Cannot include a null value in a string template.");
    return false;
  }
  auto text = convert(value, Type::string());
  if (!text.ok()) {
    fail(ev, from.range, "Invalid template interpolation value",
         std::format("Cannot include the given value in a string template: {}.", text.error().message()));
    return false;
  }
  if (auto paid = ev.budget.take_bytes(text->string().size()); !paid.ok()) {
    fail(ev, from.range, "Evaluation limit reached", paid.error().message() + ".");
    return false;
  }
  out += text->string();
  return true;
}

std::optional<Value> evaluate_template(const TemplateExpr& whole, const Expr& expr, Evaluation& ev) {
  std::string out;
  bool ok = true;
  for (const auto& part : whole.parts) {
    if (const auto* text = std::get_if<std::string>(&part)) {
      out += *text;
      continue;
    }
    const Expr& hole = *std::get<ExprPtr>(part);
    auto value = evaluate(hole, ev);
    ok = value && append_text(out, *value, hole, ev) && ok;
  }
  if (!ok) return std::nullopt;
  return made(ev, expr.range, Value(std::move(out)));
}

std::optional<Value> evaluate_template_for(const TemplateForExpr& loop, Evaluation& ev) {
  std::string out;
  Scope inner{{}, ev.scope};
  Evaluation nested{ev.source, &inner, ev.functions, ev.budget, ev.diagnostics, ev.unknown_name, ev.splat_item};
  bool ok = for_each_item(*loop.source, ev, [&](const Value& key, const Value& value) {
    if (!loop.key_name.empty()) inner.variables.insert_or_assign(loop.key_name, key);
    inner.variables.insert_or_assign(loop.value_name, value);
    auto text = evaluate(*loop.body, nested);
    return text && append_text(out, *text, *loop.body, nested);
  });
  if (!ok) return std::nullopt;
  return Value(std::move(out));
}

std::optional<Value> evaluate_node(const Expr& expr, Evaluation& ev) {
  struct Visitor {
    const Expr& expr;
    Evaluation& ev;
    std::optional<Value> operator()(const LiteralExpr& node) { return node.value; }
    std::optional<Value> operator()(const ReferenceExpr& node) { return evaluate_reference(node, expr, ev); }
    std::optional<Value> operator()(const AccessExpr& node) { return evaluate_access(node, ev); }
    std::optional<Value> operator()(const SplatExpr& node) { return evaluate_splat(node, expr, ev); }
    std::optional<Value> operator()(const ItemExpr&) { return *ev.splat_item; }
    std::optional<Value> operator()(const CallExpr& node) { return evaluate_call(node, expr, ev); }
    std::optional<Value> operator()(const ConditionalExpr& node) { return evaluate_conditional(node, ev); }
    std::optional<Value> operator()(const UnaryExpr& node) { return evaluate_unary(node, expr, ev); }
    std::optional<Value> operator()(const BinaryExpr& node) { return evaluate_binary(node, expr, ev); }
    std::optional<Value> operator()(const TupleExpr& node) { return evaluate_tuple(node, expr, ev); }
    std::optional<Value> operator()(const ObjectExpr& node) { return evaluate_object(node, expr, ev); }
    std::optional<Value> operator()(const ForExpr& node) { return ForLoop(node, expr, ev).run(); }
    std::optional<Value> operator()(const TemplateExpr& node) { return evaluate_template(node, expr, ev); }
    std::optional<Value> operator()(const TemplateForExpr& node) { return evaluate_template_for(node, ev); }
  };
  return std::visit(Visitor{expr, ev}, expr.node);
}

}  // namespace

Result<> Budget::take(uint64_t& left, uint64_t count, std::string_view what) {
  if (count > left) {
    left = 0;
    return Error(Code::kExhausted, std::format("the input {}: simplify its loops and templates", what));
  }
  left -= count;
  return {};
}

const Value* Scope::find(std::string_view name) const {
  for (const Scope* scope = this; scope; scope = scope->outer) {
    if (auto found = scope->variables.find(name); found != scope->variables.end()) return &found->second;
  }
  return nullptr;
}

std::optional<Value> evaluate(const Expr& expr, Evaluation& evaluation) {
  if (auto paid = evaluation.budget.take_steps(1); !paid.ok()) {
    return fail(evaluation, expr.range, "Evaluation limit reached", paid.error().message() + ".");
  }
  return evaluate_node(expr, evaluation);
}

}  // namespace steppe::hcl
