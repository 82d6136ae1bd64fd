#include <algorithm>
#include <format>

#include "init/hcl/eval.h"

namespace steppe::hcl {
namespace {

constexpr std::string_view kSummary = "Invalid type specification";

std::nullopt_t fail(Evaluation& ev, Range range, std::string detail) {
  ev.diagnostics.error(ev.source, range, std::string(kSummary), std::move(detail));
  return std::nullopt;
}

std::optional<Type> keyword_type(const ReferenceExpr& name, Range range, Evaluation& ev) {
  if (name.steps.empty()) {
    if (name.root == "any") return Type::any();
    if (name.root == "bool") return Type::boolean();
    if (name.root == "number") return Type::number();
    if (name.root == "string") return Type::string();
    if (name.root == "list" || name.root == "set" || name.root == "map") {
      return fail(ev, range,
                  std::format("The {} type constructor requires one argument specifying the element type: {}(string).",
                              name.root, name.root));
    }
    if (name.root == "object")
      return fail(ev, range, "The object type constructor requires one argument: object({ name = type }).");
    if (name.root == "tuple")
      return fail(ev, range, "The tuple type constructor requires one argument: tuple([type, type]).");
  }
  return fail(
      ev, range,
      std::format(
          "The keyword \"{}\" is not a valid type: expected string, number, bool, any, list(…), set(…), map(…), "
          "object({{…}}) or tuple([…]).",
          name.root));
}

std::optional<Type> tuple_type(const Expr& argument, Evaluation& ev) {
  const auto* items = std::get_if<TupleExpr>(&argument.node);
  if (!items) return fail(ev, argument.range, "A tuple type needs a list of types: tuple([string, number]).");
  std::vector<Type> types;
  for (const ExprPtr& item : items->items) {
    auto type = evaluate_type(*item, ev);
    if (!type) return std::nullopt;
    types.push_back(*std::move(type));
  }
  return Type::tuple(std::move(types));
}

// `type`, or `optional(type)`, or `optional(type, default)`.
bool read_field(const Expr& expr, Type::Field& field, Evaluation& ev) {
  const Expr* type_expr = &expr;
  const Expr* fallback = nullptr;
  if (const auto* call = std::get_if<CallExpr>(&expr.node); call && call->name == "optional") {
    if (call->arguments.empty() || call->arguments.size() > 2) {
      fail(ev, expr.range, "optional() takes a type and perhaps a default value.");
      return false;
    }
    field.optional = true;
    type_expr = call->arguments[0].get();
    if (call->arguments.size() == 2) fallback = call->arguments[1].get();
  }
  auto type = evaluate_type(*type_expr, ev);
  if (!type) return false;
  field.type = *std::move(type);
  if (!fallback) return true;
  auto value = evaluate(*fallback, ev);
  if (!value) return false;
  auto converted = convert(*value, field.type);
  if (!converted.ok()) {
    fail(ev, fallback->range,
         std::format("The default of \"{}\" does not fit its type: {}.", field.name, converted.error().message()));
    return false;
  }
  field.fallback = *std::move(converted);
  return true;
}

std::optional<Type> object_type(const Expr& argument, Evaluation& ev) {
  const auto* object = std::get_if<ObjectExpr>(&argument.node);
  if (!object) return fail(ev, argument.range, "An object type needs names and types: object({ name = string }).");
  std::vector<Type::Field> fields;
  for (const ObjectExpr::Item& item : object->items) {
    const auto* key = std::get_if<LiteralExpr>(&item.key->node);
    if (!key || key->value.kind() != Kind::kString)
      return fail(ev, item.key->range, "An attribute of an object type needs a plain name.");
    Type::Field field;
    field.name = key->value.string();
    if (!read_field(*item.value, field, ev)) return std::nullopt;
    fields.push_back(std::move(field));
  }
  Type type = Type::object(std::move(fields));
  auto same = [](const Type::Field& a, const Type::Field& b) { return a.name == b.name; };
  auto twice = std::adjacent_find(type.fields().begin(), type.fields().end(), same);
  if (twice != type.fields().end())
    return fail(ev, argument.range, std::format("The attribute \"{}\" is declared twice.", twice->name));
  return type;
}

class ReferenceFinder {
 public:
  std::vector<Reference> found;

  void visit(const Expr& expr) {
    std::visit([&](const auto& node) { walk(node, expr); }, expr.node);
  }

 private:
  void visit(const ExprPtr& expr) {
    if (expr) visit(*expr);
  }
  void visit(const std::vector<Step>& steps) {
    for (const Step& step : steps) visit(step.index);
  }
  bool is_local(std::string_view name) const { return std::find(names_.begin(), names_.end(), name) != names_.end(); }

  // Walks `inside` with the names of a loop known.
  template <class Inside>
  void with_names(const std::string& key, const std::string& value, Inside inside) {
    names_.push_back(value);
    if (!key.empty()) names_.push_back(key);
    inside();
    names_.resize(names_.size() - (key.empty() ? 1 : 2));
  }

  void walk(const LiteralExpr&, const Expr&) {}
  void walk(const ItemExpr&, const Expr&) {}
  void walk(const ReferenceExpr& node, const Expr& expr) {
    if (is_local(node.root)) return;
    std::string attribute;
    if (!node.steps.empty()) {
      const Step& step = node.steps[0];
      attribute = step.name;
      const auto* index = step.index ? std::get_if<LiteralExpr>(&step.index->node) : nullptr;
      if (index && index->value.kind() == Kind::kString) attribute = index->value.string();
    }
    found.push_back({node.root, std::move(attribute), expr.range});
  }
  void walk(const AccessExpr& node, const Expr&) {
    visit(node.object);
    visit(node.steps);
  }
  void walk(const SplatExpr& node, const Expr&) {
    visit(node.object);
    visit(node.each);
  }
  void walk(const CallExpr& node, const Expr&) {
    // The second argument of convert() is a type, not a value.
    size_t count = node.name == "convert" ? std::min<size_t>(node.arguments.size(), 1) : node.arguments.size();
    for (size_t i = 0; i < count; ++i) visit(node.arguments[i]);
  }
  void walk(const ConditionalExpr& node, const Expr&) {
    visit(node.condition);
    visit(node.then);
    visit(node.otherwise);
  }
  void walk(const UnaryExpr& node, const Expr&) { visit(node.operand); }
  void walk(const BinaryExpr& node, const Expr&) {
    visit(node.left);
    visit(node.right);
  }
  void walk(const TupleExpr& node, const Expr&) {
    for (const ExprPtr& item : node.items) visit(item);
  }
  void walk(const ObjectExpr& node, const Expr&) {
    for (const ObjectExpr::Item& item : node.items) {
      visit(item.key);
      visit(item.value);
    }
  }
  void walk(const ForExpr& node, const Expr&) {
    visit(node.source);
    with_names(node.key_name, node.value_name, [&] {
      visit(node.key);
      visit(node.value);
      visit(node.filter);
    });
  }
  void walk(const TemplateExpr& node, const Expr&) {
    for (const auto& part : node.parts) {
      if (const auto* hole = std::get_if<ExprPtr>(&part)) visit(*hole);
    }
  }
  void walk(const TemplateForExpr& node, const Expr&) {
    visit(node.source);
    with_names(node.key_name, node.value_name, [&] { visit(node.body); });
  }

  std::vector<std::string> names_;
};

}  // namespace

std::optional<Type> evaluate_type(const Expr& expr, Evaluation& ev) {
  if (const auto* name = std::get_if<ReferenceExpr>(&expr.node)) return keyword_type(*name, expr.range, ev);
  const auto* call = std::get_if<CallExpr>(&expr.node);
  if (!call)
    return fail(ev, expr.range, "A type is a keyword or a call of a type constructor, such as string or list(string).");
  if (call->arguments.size() != 1 || call->expands_last) {
    return fail(ev, expr.range, std::format("The {} type constructor requires one argument.", call->name));
  }
  const Expr& argument = *call->arguments[0];
  if (call->name == "tuple") return tuple_type(argument, ev);
  if (call->name == "object") return object_type(argument, ev);
  if (call->name != "list" && call->name != "set" && call->name != "map") {
    return fail(ev, call->name_range,
                std::format("\"{}\" is not a type constructor: expected list, set, map, object or tuple.", call->name));
  }
  auto element = evaluate_type(argument, ev);
  if (!element) return std::nullopt;
  if (call->name == "list") return Type::list(*std::move(element));
  if (call->name == "set") return Type::set(*std::move(element));
  return Type::map(*std::move(element));
}

std::vector<Reference> references_of(const Expr& expr) {
  ReferenceFinder finder;
  finder.visit(expr);
  return std::move(finder.found);
}

}  // namespace steppe::hcl
