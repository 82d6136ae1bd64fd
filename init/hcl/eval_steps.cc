#include "init/hcl/eval_steps.h"

#include <format>

namespace steppe::hcl {
namespace {

std::nullopt_t fail(Evaluation& ev, Range range, std::string summary, std::string detail) {
  ev.diagnostics.error(ev.source, range, std::move(summary), std::move(detail));
  return std::nullopt;
}

std::string suggestion(std::string_view name, const Value::Mapping& among) {
  std::vector<std::string_view> names;
  for (const auto& [key, value] : among) {
    if (names.size() < 256) names.push_back(key);
  }
  std::string_view near = nearest_name(name, names);
  return near.empty() ? "" : std::format(" Did you mean \"{}\"?", near);
}

std::optional<Value> get_attribute(const Value& value, const Step& step, Evaluation& ev) {
  if (value.is_mapping()) {
    auto found = value.mapping().find(step.name);
    if (found != value.mapping().end()) return found->second;
    bool map = value.kind() == Kind::kMap;
    return fail(ev, step.range, map ? "Missing map element" : "Unsupported attribute",
                std::format("This {} does not have an {} named \"{}\".{}", map ? "map" : "object",
                            map ? "element" : "attribute", step.name, suggestion(step.name, value.mapping())));
  }
  if (value.is_null()) {
    return fail(ev, step.range, "Attempt to get attribute from null value",
                "This value is null, so it does not have any attributes.");
  }
  std::string hint =
      value.is_sequence() ? std::format(" Did you mean to read it from every item, with [*].{}?", step.name) : "";
  return fail(ev, step.range, "Unsupported attribute",
              std::format("A {} has no attributes.{}", value.type_name(), hint));
}

std::optional<Value> index_sequence(const Value& value, const Value& key, Range range, Evaluation& ev) {
  auto converted = convert(key, Type::number());
  if (!converted.ok()) {
    return fail(ev, range, "Invalid index",
                std::format("A {} is indexed with a number: {}.", value.type_name(), converted.error().message()));
  }
  Number number = converted->number();
  if (!number.is_whole()) {
    return fail(ev, range, "Invalid index",
                "Indexing a sequence requires a whole number, but the given index has a fractional part.");
  }
  if (number.integer() < 0 || static_cast<uint64_t>(number.integer()) >= value.size()) {
    return fail(ev, range, "Invalid index",
                std::format("The given index {} does not identify an element: there are {}, counted from 0.",
                            number.integer(), value.size()));
  }
  return value.sequence()[static_cast<size_t>(number.integer())];
}

std::optional<Value> index_value(const Value& value, const Value& key, Range range, Evaluation& ev) {
  if (value.is_null())
    return fail(ev, range, "Attempt to index null value", "This value is null, so it does not have any indices.");
  if (key.is_null()) return fail(ev, range, "Invalid index", "Can't use a null value as an index.");
  if (value.kind() == Kind::kList || value.kind() == Kind::kTuple) return index_sequence(value, key, range, ev);
  if (!value.is_mapping()) {
    return fail(ev, range, "Invalid index", std::format("A {} does not have any indices.", value.type_name()));
  }
  auto text = convert(key, Type::string());
  if (!text.ok())
    return fail(ev, range, "Invalid index",
                std::format("A {} is indexed with a string: {}.", value.type_name(), text.error().message()));
  auto found = value.mapping().find(text->string());
  if (found == value.mapping().end()) {
    return fail(ev, range, "Invalid index",
                std::format("There is no element \"{}\" in this {}.{}", text->string(), value.type_name(),
                            suggestion(text->string(), value.mapping())));
  }
  return found->second;
}

std::optional<Value> apply_steps(Value value, const std::vector<Step>& steps, Evaluation& ev) {
  for (const Step& step : steps) {
    std::optional<Value> next;
    if (step.index) {
      auto key = evaluate(*step.index, ev);
      if (!key) return std::nullopt;
      next = index_value(value, *key, step.range, ev);
    } else {
      next = get_attribute(value, step, ev);
    }
    if (!next) return std::nullopt;
    value = *std::move(next);
  }
  return value;
}

// The reference as it was written, with the spaces that surround it inside "${ … }".
std::string literal_text(const Source& source, Range range) {
  std::string_view text = source.text;
  size_t from = range.start, to = range.end;
  while (from > 0 && (text[from - 1] == ' ' || text[from - 1] == '\t')) --from;
  while (to < text.size() && (text[to] == ' ' || text[to] == '\t')) ++to;
  bool bracketed = from >= 2 && text.substr(from - 2, 2) == "${" && to < text.size() && text[to] == '}';
  if (!bracketed) return std::format("${{{}}}", source.slice(range));
  return std::string(text.substr(from - 2, to + 1 - (from - 2)));
}

}  // namespace

std::optional<Value> evaluate_reference(const ReferenceExpr& reference, const Expr& expr, Evaluation& ev) {
  const Value* root = ev.scope ? ev.scope->find(reference.root) : nullptr;
  if (root) return apply_steps(*root, reference.steps, ev);
  if (ev.unknown_name == UnknownName::kKeepText) return Value(literal_text(ev.source, expr.range));
  std::vector<std::string_view> names;
  for (const Scope* scope = ev.scope; scope; scope = scope->outer) {
    for (const auto& [name, value] : scope->variables) names.push_back(name);
  }
  std::string_view near = nearest_name(reference.root, names);
  std::string hint = !near.empty()   ? std::format(" Did you mean \"{}\"?", near)
                     : names.empty() ? std::string(" Variables may not be used here. A text needs quotes.")
                                     : std::string();
  return fail(ev, {expr.range.start, static_cast<uint32_t>(expr.range.start + reference.root.size())},
              "Unknown variable", std::format("There is no variable named \"{}\".{}", reference.root, hint));
}

std::optional<Value> evaluate_access(const AccessExpr& access, Evaluation& ev) {
  auto value = evaluate(*access.object, ev);
  if (!value) return std::nullopt;
  return apply_steps(*std::move(value), access.steps, ev);
}

std::optional<Value> evaluate_splat(const SplatExpr& splat, const Expr& expr, Evaluation& ev) {
  auto value = evaluate(*splat.object, ev);
  if (!value) return std::nullopt;
  Value::Sequence results;
  auto visit = [&](const Value& item) {
    Evaluation inner{ev.source, ev.scope, ev.functions, ev.budget, ev.diagnostics, ev.unknown_name, &item};
    auto result = evaluate(*splat.each, inner);
    if (!result) return false;
    results.push_back(*std::move(result));
    return true;
  };
  // A null has no items; a value that is no sequence counts as a sequence of itself.
  if (value->is_sequence()) {
    for (const Value& item : value->sequence()) {
      if (!visit(item)) return std::nullopt;
    }
  } else if (!value->is_null() && !visit(*value)) {
    return std::nullopt;
  }
  Kind kind = value->kind() == Kind::kList || value->kind() == Kind::kSet ? Kind::kList : Kind::kTuple;
  auto made = Value::make_sequence(kind, std::move(results));
  if (!made.ok()) return fail(ev, expr.range, "Value too large", made.error().message() + ".");
  return *std::move(made);
}

namespace {

std::string argument_count(const Function& function) {
  size_t least = function.parameters.size();
  return function.rest ? std::format("at least {}", least) : std::to_string(least);
}

bool collect_arguments(const CallExpr& call, Evaluation& ev, Value::Sequence& arguments, std::vector<Range>& places) {
  bool ok = true;
  for (size_t i = 0; i < call.arguments.size(); ++i) {
    const Expr& argument = *call.arguments[i];
    auto value = evaluate(argument, ev);
    ok = ok && value;
    if (!ok) continue;
    if (!call.expands_last || i + 1 != call.arguments.size()) {
      arguments.push_back(*std::move(value));
      places.push_back(argument.range);
    } else if (value->is_sequence()) {
      arguments.insert(arguments.end(), value->sequence().begin(), value->sequence().end());
      places.resize(arguments.size(), argument.range);
    } else {
      fail(ev, argument.range, "Invalid expanding argument value",
           std::format("The expanding argument (indicated by ...) must be a list, tuple or set, but found {}.",
                       value->type_name()));
      return false;
    }
  }
  return ok;
}

bool convert_arguments(const CallExpr& call, const Function& function, Evaluation& ev, Value::Sequence& arguments,
                       const std::vector<Range>& places) {
  for (size_t i = 0; i < arguments.size(); ++i) {
    const Function::Parameter& parameter = i < function.parameters.size() ? function.parameters[i] : *function.rest;
    if (arguments[i].is_null() && !parameter.allows_null) {
      fail(ev, places[i], "Invalid function argument",
           std::format("Invalid value for \"{}\" parameter of {}: argument must not be null.", parameter.name,
                       call.name));
      return false;
    }
    auto converted = convert(arguments[i], parameter.type);
    if (!converted.ok()) {
      fail(ev, places[i], "Invalid function argument",
           std::format("Invalid value for \"{}\" parameter of {}: {}.", parameter.name, call.name,
                       converted.error().message()));
      return false;
    }
    arguments[i] = *std::move(converted);
  }
  return true;
}

}  // namespace

std::optional<Value> evaluate_call(const CallExpr& call, const Expr& expr, Evaluation& ev) {
  auto found = ev.functions.find(call.name);
  if (found == ev.functions.end()) {
    std::vector<std::string_view> names;
    for (const auto& [name, function] : ev.functions) names.push_back(name);
    std::string_view near = nearest_name(call.name, names);
    return fail(ev, call.name_range, "Call to unknown function",
                std::format("There is no function named \"{}\".{}", call.name,
                            near.empty() ? "" : std::format(" Did you mean \"{}\"?", near)));
  }
  const Function& function = found->second;
  if (function.special) return function.special(call, expr.range, ev);
  Value::Sequence arguments;
  std::vector<Range> places;
  if (!collect_arguments(call, ev, arguments, places)) return std::nullopt;
  if (arguments.size() < function.parameters.size() ||
      (arguments.size() > function.parameters.size() && !function.rest)) {
    bool few = arguments.size() < function.parameters.size();
    return fail(ev, expr.range, few ? "Not enough function arguments" : "Too many function arguments",
                std::format("Function \"{}\" expects {} argument(s), but found {}.", call.name,
                            argument_count(function), arguments.size()));
  }
  if (!convert_arguments(call, function, ev, arguments, places)) return std::nullopt;
  uint64_t weight = 0;
  for (const Value& argument : arguments) weight += argument.weight();
  if (auto paid = ev.budget.take_steps(weight / 16); !paid.ok()) {
    return fail(ev, expr.range, "Evaluation limit reached", paid.error().message() + ".");
  }
  auto result = function.call(arguments, ev.budget);
  if (!result.ok()) {
    return fail(ev, expr.range, "Error in function call",
                std::format("Call to function \"{}\" failed: {}.", call.name, result.error().message()));
  }
  if (auto paid = ev.budget.take_bytes(result->weight()); !paid.ok()) {
    return fail(ev, expr.range, "Evaluation limit reached", paid.error().message() + ".");
  }
  return *std::move(result);
}

}  // namespace steppe::hcl
