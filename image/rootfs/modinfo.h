#pragma once

#include <string>
#include <vector>

#include "init/base/bytes.h"
#include "init/base/result.h"

namespace steppe::rootfs {

// What a kernel module says of itself in its section ".modinfo": "KEY=VALUE" texts, one after the other, each ended by
// zero bytes (include/linux/moduleinfo.h).
struct ModuleInfo {
  std::string name;                       // with '_'
  std::vector<std::string> depends;       // names, as the module's build found them
  std::vector<std::string> wishes_first;  // "softdep=pre:": names or aliases
  std::vector<std::string> aliases;
  std::vector<std::string> firmware;
  std::string vermagic;
  bool is_signed = false;  // ends with a signature (kernel/module_signature)
};

// Reads an uncompressed module (ELF, 64 bits, little-endian). Any bytes are safe to read. kCorrupt says what is wrong.
Result<ModuleInfo> read_modinfo(ByteView module);

// "snd-hda-intel" -> "snd_hda_intel": how the kernel compares names of modules.
std::string plain_name(std::string_view name);

}  // namespace steppe::rootfs
