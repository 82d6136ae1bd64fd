#pragma once

namespace steppe::vm {

// Of a machine with a disk: at its first start the partitions are as they shall be, and something is left on them; at a later one it is
// there, with what the machine itself keeps over its ends. tests/vm/storage.sh has the boots.
void check_storage();

}  // namespace steppe::vm
