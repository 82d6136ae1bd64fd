#pragma once

#include <functional>
#include <optional>
#include <string>

#include "tests/sim/slots/fat_disk.h"

namespace steppe::sim {

// systemd-boot as measured (252.39 and 257.13) with OVMF: it orders entries, counts the chosen one down by renaming it, sets its
// variables and starts the file. What firmware cannot load goes back to firmware, which tries its next boot entry; all of
// them are the loader again, and when none is left the machine stands still.
struct LoaderVariables {
  std::optional<std::string> entry_selected, count_path;  // last as long as the power
  std::optional<std::string> entry_default;               // kept in NVRAM; ours are never set
};

struct Loader {
  bool names_counters = false;  // 252: entry ids still hold the counter
  int boot_entries = 4;         // Boot#### variables that all point at the loader
  // The version that the file's .osrel names; nullopt when it is no image at all and so no entry.
  std::function<std::optional<std::string>(const std::string& content)> version_of;
  std::function<bool(const std::string& content)> loads;  // the firmware takes it: whole, and its signature is good
};

struct Started {
  std::string file, content;
};
// Nullopt: the power went, or the machine stands still (disk.off() tells).
std::optional<Started> boot(FatDisk& disk, const Loader& loader, LoaderVariables& variables);

}  // namespace steppe::sim
