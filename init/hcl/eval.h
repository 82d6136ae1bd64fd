#pragma once

#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "init/hcl/ast.h"
#include "init/hcl/diagnostic.h"
#include "init/hcl/type.h"

namespace steppe::hcl {

// What one evaluation may spend in all, so that a small text cannot ask for endless work. Shared by all expressions of
// one input.
class Budget {
 public:
  static constexpr uint64_t kDefaultSteps = 4'000'000;   // expressions evaluated and items visited
  static constexpr uint64_t kDefaultBytes = 256u << 20;  // made by all results together

  explicit Budget(uint64_t steps = kDefaultSteps, uint64_t bytes = kDefaultBytes) : steps_(steps), bytes_(bytes) {}
  // Code kExhausted once the budget is spent; it stays spent.
  Result<> take_steps(uint64_t count) { return take(steps_, count, "takes too many steps"); }
  Result<> take_bytes(uint64_t count) { return take(bytes_, count, "makes too much data"); }

 private:
  static Result<> take(uint64_t& left, uint64_t count, std::string_view what);
  uint64_t steps_, bytes_;
};

struct Evaluation;

// A function of the language. Arguments are converted to the parameters' types before `call` sees them; nulls are
// refused unless the parameter allows them.
struct Function {
  struct Parameter {
    std::string name;
    Type type;
    bool allows_null = false;
  };
  std::vector<Parameter> parameters;
  std::optional<Parameter> rest;  // takes all further arguments
  std::function<Result<Value>(std::span<const Value> arguments, Budget& budget)> call;
  // Instead of `call`: sees the expressions before they are evaluated (try, can, convert). Nullopt after it has
  // reported an error to the evaluation's diagnostics.
  std::function<std::optional<Value>(const CallExpr& call, Range range, Evaluation& evaluation)> special;
};
using FunctionTable = std::map<std::string, Function, std::less<>>;

// Names that an expression may use. A name is looked up here, then in the outer scopes.
struct Scope {
  std::map<std::string, Value, std::less<>> variables;
  const Scope* outer = nullptr;

  const Value* find(std::string_view name) const;
};

// What becomes of a reference whose first name no scope knows.
enum class UnknownName : uint8_t {
  kError,
  kKeepText,  // the text "${reference}", for whoever interpolates later
};

// Everything that evaluating needs; all referenced objects outlive it.
struct Evaluation {
  const Source& source;
  const Scope* scope;
  const FunctionTable& functions;
  Budget& budget;
  Diagnostics& diagnostics;
  UnknownName unknown_name = UnknownName::kError;
  const Value* splat_item = nullptr;  // internal
};

// The value of an expression; nullopt after it has reported why there is none. `expr` was parsed from
// `evaluation.source`.
std::optional<Value> evaluate(const Expr& expr, Evaluation& evaluation);

// Reads an expression as a type: `list(string)`, `object({ a = string, b = optional(number, 5) })`, `any`.
std::optional<Type> evaluate_type(const Expr& expr, Evaluation& evaluation);

// A name that an expression takes from its scope.
struct Reference {
  std::string root;
  std::string attribute;  // of the first step, when that is an attribute or a constant text index
  Range range;
};
// All references of an expression, without the names that it defines itself in `for`.
std::vector<Reference> references_of(const Expr& expr);

}  // namespace steppe::hcl
