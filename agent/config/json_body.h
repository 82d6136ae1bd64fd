#pragma once

#include "init/hcl/ast.h"
#include "init/hcl/diagnostic.h"

namespace steppe::config {

// A JSON configuration as the body that the same configuration in HCL would be: objects are blocks, lists of objects
// several blocks of one name, all else attributes. Faults go to `diagnostics`; places are those of the JSON text.
hcl::Body parse_json_body(const hcl::Source& source, hcl::Diagnostics& diagnostics);

// Turns attributes that are written as objects (`server = { … }`) into the blocks that they stand for, at every depth.
void objects_to_blocks(hcl::Body& body);

}  // namespace steppe::config
