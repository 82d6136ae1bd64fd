#pragma once

#include <string>
#include <vector>

#include "init/machine/extensions/mount.h"
#include "init/upgrade/extension/files.h"
#include "init/upgrade/extension/states.h"
#include "init/upgrade/manifest.h"
#include "init/upgrade/verify/signature.h"

namespace steppe::extensions {

struct Places {
  std::string run = "/run/steppe";
  std::vector<std::string> from = extension::kDirectories;
};

struct ThisMachine {
  std::string arch, kernel;    // "x86-64" or "arm64"; the release of the running kernel
  verify::MachineKeys keys;    // of the image's root
};

// Finds, checks and mounts every extension that the manifest names, at RUN/extensions/NAME, and puts them to use: firmware through RUN/firmware,
// which the kernel then looks into first; modules by a link RUN/modules.d/NAME, which the device service watches
// (init/boot/module_roots.h). Writes RUN/extensions.state (extension::encode_states). Repeatable: what is mounted stays. One that is missing,
// refused or cannot be mounted keeps none of the others back.
Result<std::vector<extension::State>> bring_up(const upgrade::Manifest& manifest, const ThisMachine& machine, const Places& places, Mounts& mounts);

}  // namespace steppe::extensions
