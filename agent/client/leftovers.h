#pragma once

#include <cstddef>
#include <set>
#include <string>
#include <vector>

#include "agent/client/client_context.h"
#include "init/sys/kernel/beneath.h"

namespace steppe::client {

// What earlier agents left of allocs that neither the client's state nor the servers know any more: their records were
// damaged, or the agent died while it removed them. Nobody would ever stop these tasks or remove these directories.
struct Leftovers {
  std::vector<std::string> tasks;        // "<alloc>.<task>.<attempt>": killed and cleared away
  std::vector<std::string> directories;  // of allocs: removed
  std::vector<std::string> problems;
};

// Clears them away. `known`: the ids of all allocs that may have something here. Blocks.
Leftovers clear_leftovers(const DriverTable& drivers, const kernel::Beneath& alloc_root, const std::set<std::string, std::less<>>& known);

// The highest attempt of a task of which `driver` holds something; 0: none. Blocks.
uint64_t last_attempt(drivers::Driver& driver, std::string_view alloc_id, std::string_view task);

}  // namespace steppe::client
