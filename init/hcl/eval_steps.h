#pragma once

#include "init/hcl/eval.h"

namespace steppe::hcl {

// The parts of evaluate() that look names up and walk into values. Internal to init/hcl.
std::optional<Value> evaluate_reference(const ReferenceExpr& reference, const Expr& expr, Evaluation& ev);
std::optional<Value> evaluate_access(const AccessExpr& access, Evaluation& ev);
std::optional<Value> evaluate_splat(const SplatExpr& splat, const Expr& expr, Evaluation& ev);
std::optional<Value> evaluate_call(const CallExpr& call, const Expr& expr, Evaluation& ev);

}  // namespace steppe::hcl
