#pragma once

#include <string>
#include <vector>

#include "image/fs/tree.h"

namespace steppe::rootfs {

// Something that the host side of an image may not hold.
struct Finding {
  enum class Kind : uint8_t { kShell, kInterpreter, kSetuid, kSetgid, kCapability, kScript, kDevice, kWritable };
  Kind kind;
  std::string path, detail;
};
std::string_view finding_name(Finding::Kind kind);

// Looks through the host's root as it is in the finished image: shells and interpreters by name and by what is in them
// (a renamed one is found, too), scripts, set-id bits, file capabilities, device nodes, files that others may write.
// What lies inside a file (the task root) is not looked into. Pure; in the order of the paths.
std::vector<Finding> scan_root(const fs::Tree& tree);

}  // namespace steppe::rootfs
