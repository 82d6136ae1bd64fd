#pragma once

#include <string>
#include <vector>

namespace steppe::node {

// steppe-node install DISK [-wipe] [-image FILE] [-loader FILE] [-config FILE | -no-config]
//
// Puts an image and a boot loader onto a disk of the machine (init/machine/install/install.h). Without -image: the image that runs, from
// the medium that it was started from, whose ESP is mounted on /efi. The boot loader and steppe.hcl come from there, too, unless said.
int install_command(const std::vector<std::string>& words);

// steppe-node reset [-keep-config]
//
// Marks state and data, for the next start to make them new (init/machine/install/reset.h).
int reset_command(const std::vector<std::string>& words);

// Both print one JSON object, as `steppe-node slots` does: {"Summary": ..., "Reboot": "firmware"}, or {"Error": {"Code": ..., "Message":
// ...}} with exit code 1; 2 for words that they do not know. Lines for the log go to standard error. Only for the machine's API and its
// console: no configuration leads here.

}  // namespace steppe::node
