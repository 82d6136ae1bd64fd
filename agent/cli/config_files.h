#pragma once

#include <string>
#include <vector>

#include "agent/config/load.h"

namespace steppe::cli {

// The agent's configuration files that these paths name: files as they are, of a directory those that config_files_of()
// keeps, all in the order in which they are read. Errors name the path.
Result<std::vector<config::File>> read_config_files(const std::vector<std::string>& paths);

}  // namespace steppe::cli
