#pragma once

#include <optional>

#include "init/hcl/ast.h"
#include "init/hcl/diagnostic.h"

namespace steppe::hcl {

// Reads HCL native syntax (the specification that HashiCorp publishes with HCL 2). Faults go to `diagnostics`; parsing
// goes on after a faulty attribute or block, so that several faults are found in one run. The tree holds no pointer
// into `source`, only ranges. Time and memory are linear in the text; nesting beyond kMaxSyntaxDepth is an error.
//
// kConfiguration also takes what configuration files written for HCL 1 contain: quoted attribute names, commas between
// the items of a block, and several of them on one line.
enum class Dialect : uint8_t { kHcl2, kConfiguration };
Body parse_body(const Source& source, Diagnostics& diagnostics, Dialect dialect = Dialect::kHcl2);

// One expression that is the whole text. Null after an error.
ExprPtr parse_expression(const Source& source, Diagnostics& diagnostics);

// The whole text as a template, as if it stood in a heredoc. Null after an error.
ExprPtr parse_template(const Source& source, Diagnostics& diagnostics);

}  // namespace steppe::hcl
