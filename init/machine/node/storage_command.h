#pragma once

#include <string>
#include <vector>

namespace steppe::node {

// `steppe-node storage`, a step of PID 1 before the machine is configured: the machine's own partitions are found, made, checked and
// mounted (init/machine/storage/storage.h), and what is kept on them over the machine's ends is taken up. Options: -run DIR
// (/run/steppe), -root DIR (/, for tests). Said to have been started before (a step that crashed is started again), it does nothing.
// Returns an exit status; that a disk is broken is none of its failures.
int storage_command(const std::vector<std::string>& words);

}  // namespace steppe::node
