#pragma once

#include <string>
#include <vector>

#include "init/machine/hardening/read_back.h"

namespace steppe::node {

// steppe-node hardening [-record] [-root DIR]: reads the running machine back against the hardening table of its image
// (init/machine/hardening/table.h) and prints every row with what is there; with -record, the table itself with what is there as its
// values, in its own format: equal, byte for byte, to the image's file where all rows hold. Reads below DIR ("/"): usr/lib/steppe/hardening,
// proc/cmdline, proc/1/mountinfo, proc/sys. The exit code: 0 when every row holds, 1 when one does not, 2 when it cannot be said.
int hardening_command(const std::vector<std::string>& words);

// What the command prints for people. Pure.
std::string hardening_text(const hardening::Table& table, const hardening::ReadBack& read);

}  // namespace steppe::node
