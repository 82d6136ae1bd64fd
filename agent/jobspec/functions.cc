#include "agent/jobspec/functions.h"

#include "agent/jobspec/function_families.h"

namespace steppe::jobspec {

hcl::FunctionTable make_functions(const ParseOptions& options) {
  hcl::FunctionTable table;
  add_numeric(table);
  add_strings(table);
  add_formatting(table);
  add_collections(table);
  add_sets(table);
  add_encodings(table);
  add_yaml(table);
  add_crypto(table, options.rng);
  add_networks(table);
  add_dates(table);
  add_types(table);
  add_files(table, options);
  return table;
}

}  // namespace steppe::jobspec
