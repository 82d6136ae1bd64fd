#pragma once

#include <string_view>

namespace steppe::vm {

// Of a machine with a disk, by the scenario's name; tests/vm/storage.sh has the boots. "storage": at its first start the partitions are
// as they shall be, and something is left on them; at a later one it is there, with what the machine itself keeps over its ends. "state-full",
// "state-corrupt", "state-missing": the machine works all the same.
void check_storage(std::string_view name);

}  // namespace steppe::vm
