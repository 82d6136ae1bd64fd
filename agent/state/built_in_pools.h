#pragma once

#include <string_view>
#include <vector>

#include "agent/state/rows.h"

namespace steppe::state {

inline constexpr std::string_view kPoolAll = "all";          // every node, whatever its pool
inline constexpr std::string_view kPoolDefault = "default";  // where nodes and jobs are that name none

inline bool built_in_pool(std::string_view name) { return name == kPoolAll || name == kPoolDefault; }
// Rows of the pools that exist from the first index on.
std::vector<PlainRow*> built_in_pools();

}  // namespace steppe::state
