// try(), can() and convert() see expressions, not values.
#include <format>

#include "agent/jobspec/function_families.h"

namespace steppe::jobspec {
namespace {

using hcl::Value;

std::nullopt_t fail(hcl::Evaluation& ev, hcl::Range range, std::string detail) {
  ev.diagnostics.error(ev.source, range, "Error in function call", std::move(detail));
  return std::nullopt;
}

std::optional<Value> evaluate_quietly(const hcl::Expr& expr, const hcl::Evaluation& ev, hcl::Diagnostics& faults) {
  hcl::Evaluation inner{ev.source, ev.scope, ev.functions, ev.budget, faults, ev.unknown_name, ev.splat_item};
  return hcl::evaluate(expr, inner);
}

std::optional<Value> try_each(const hcl::CallExpr& call, hcl::Range range, hcl::Evaluation& ev) {
  if (call.arguments.empty() || call.expands_last)
    return fail(ev, range,
                "Call to function \"try\" failed: at least one argument is required, and none may be expanded.");
  std::string why;
  for (const hcl::ExprPtr& argument : call.arguments) {
    hcl::Diagnostics faults;
    if (auto value = evaluate_quietly(*argument, ev, faults)) return value;
    why +=
        "\n- " + (faults.list().empty() ? std::string("?") : faults.list()[0].summary + ": " + faults.list()[0].detail);
  }
  return fail(ev, range, std::format("Call to function \"try\" failed: no expression succeeded:{}", why));
}

std::optional<Value> can(const hcl::CallExpr& call, hcl::Range range, hcl::Evaluation& ev) {
  if (call.arguments.size() != 1 || call.expands_last) return fail(ev, range, "Function \"can\" expects 1 argument.");
  hcl::Diagnostics faults;
  return Value(evaluate_quietly(*call.arguments[0], ev, faults).has_value());
}

std::optional<Value> convert_to(const hcl::CallExpr& call, hcl::Range range, hcl::Evaluation& ev) {
  if (call.arguments.size() != 2 || call.expands_last)
    return fail(ev, range, "Function \"convert\" expects 2 arguments: a value and a type.");
  auto type = hcl::evaluate_type(*call.arguments[1], ev);
  auto value = type ? hcl::evaluate(*call.arguments[0], ev) : std::nullopt;
  if (!value) return std::nullopt;
  auto converted = hcl::convert(*value, *type);
  if (!converted.ok())
    return fail(ev, range, std::format("Call to function \"convert\" failed: {}.", converted.error().message()));
  return *std::move(converted);
}

}  // namespace

void add_types(hcl::FunctionTable& table) {
  table["try"].special = try_each;
  table["can"].special = can;
  table["convert"].special = convert_to;
}

}  // namespace steppe::jobspec
