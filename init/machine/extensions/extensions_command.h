#pragma once

#include <string>
#include <vector>

namespace steppe::extensions {

// steppe-node extensions [-run DIR] [-from DIR]…: mounts what the running image names (bring_up.h), says on the console which extension
// is missing or refused and why, and ends: 0 whatever it found, as a machine goes on without; 1 when nothing could be looked at; 2 for
// words that it does not know. -run is where it works and mounts, /run/steppe by default; -from, where files of extensions lie, in
// place of Places::from.
int extensions_command(const std::vector<std::string>& words);

}  // namespace steppe::extensions
