#pragma once

namespace steppe::vm {

// Of a machine whose image names extensions (tests/vm/extensions.sh): one is mounted and in use; one that comes late is mounted by
// `steppe-node extensions` and read, and a block of it changed below the mount (unless `flips` is false) is an I/O error for who reads it.
void check_extensions(bool flips);
// Three that are none for this machine are refused.
void check_refused_extensions();

}  // namespace steppe::vm
