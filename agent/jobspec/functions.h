#pragma once

#include "agent/jobspec/parse.h"
#include "init/hcl/eval.h"

namespace steppe::jobspec {

// The functions of the job language. The table refers to `options` and lives no longer.
hcl::FunctionTable make_functions(const ParseOptions& options);

}  // namespace steppe::jobspec
