#pragma once

#include <functional>
#include <string>
#include <vector>

#include "init/hcl/ast.h"
#include "init/hcl/eval.h"

namespace steppe::jobspec {

// What all steps of one parse share. `scope` is the outermost one: var and local.
struct Context {
  const hcl::Source& source;
  const hcl::FunctionTable& functions;
  hcl::Budget& budget;
  hcl::Diagnostics& diagnostics;
  const hcl::Scope* scope = nullptr;

  // Evaluates with run-time references kept as text.
  std::optional<hcl::Value> evaluate(const hcl::Expr& expr, const hcl::Scope& scope) const;
  void error(hcl::Range range, std::string summary, std::string detail) const;
  // False, with an error, once the budget is spent.
  bool spend(hcl::Range range, uint64_t steps, uint64_t bytes) const;
};

// One block after dynamic blocks were expanded. Refers to the tree, and to the scope only during the visit.
struct BlockVisit {
  std::string_view type;
  hcl::Range range;  // of the header
  hcl::Range type_range;
  const std::vector<hcl::Label>& labels;
  const hcl::Body& body;
  const hcl::Scope& scope;
};

// Visits the blocks of `body` in order. A `dynamic "type"` block stands for as many blocks of that type as its
// for_each has items; their content sees `type.key` and `type.value` (or the name that `iterator` gives). Returns false
// after an error in a dynamic block itself, or once `visit` returned false; the other blocks are visited all the same.
bool for_each_block(const hcl::Body& body, const hcl::Scope& scope, const Context& context,
                    const std::function<bool(const BlockVisit&)>& visit);

}  // namespace steppe::jobspec
