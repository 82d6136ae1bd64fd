#pragma once

#include <string>
#include <vector>

#include "init/base/bytes.h"
#include "init/base/result.h"

namespace steppe::power {

// An image that was on the disk or was being staged: the bytes that a file of that version must have.
struct KnownImage {
  std::string version;
  std::string bytes;
  bool stays = false;  // good throughout: must be on the disk, whole, under its good name, at every moment
};

// What a disk looks like to firmware and loader.
struct Verdict {
  std::string fault;   // empty: a loader finds a whole image, and every image that must stay is there
  std::string starts;  // the name that the loader takes
  bool two_names = false, lost_name = false;  // a rename cut in two; the second: a whole image under a name that is none of ours
};

// Reads the ESP of `disk` (GPT, FAT) as firmware does and picks as systemd-boot does. Pure.
Verdict check_disk(ByteView disk, const std::vector<KnownImage>& images, std::string_view loader);

}  // namespace steppe::power
