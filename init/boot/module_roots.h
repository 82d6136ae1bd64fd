#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "init/base/result.h"
#include "init/boot/module_index.h"
#include "init/sys/kernel/fd.h"

namespace steppe::boot {

// Where extensions' modules are found: one link for each extension that holds some, to the directory of its modules. Made when the
// extension is mounted (init/machine/extensions); whoever may make a link there may load modules anyhow.
inline constexpr const char* kExtensionModules = "/run/steppe/modules.d";

// A directory of modules with the index of what is below it.
struct ModuleRoot {
  kernel::Fd directory;
  ModuleIndex index;
};
// The directory `path` and its modules.index. kExhausted: longer than 16 MiB.
Result<ModuleRoot> open_module_root(const std::string& path);
std::string image_modules();  // of the kernel that runs: "/usr/lib/modules/RELEASE"

// Names in the directory of links that are not in `known`, sorted, and added to it; at most 32 ever. A directory that is not there has
// none.
std::vector<std::string> new_module_roots(const std::string& directory, std::set<std::string, std::less<>>& known);

}  // namespace steppe::boot
