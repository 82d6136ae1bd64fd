#pragma once

#include <string>
#include <vector>

#include "init/sys/kernel/fd.h"
#include "init/upgrade/manifest.h"

namespace steppe::extension {

// Where a machine has files of extensions: fetched ones, then those that came with the image.
inline const std::vector<std::string> kDirectories = {"/state/extensions", "/efi/EFI/steppe/extensions"};

struct Found {
  std::string path;
  kernel::Fd file;
  uint64_t size = 0;
};
// The files that may be the extension, in the order of the directories: DIGEST.ext (as it is fetched), then NAME.ext (as the builder writes
// it). Regular files only; a directory that is not there has none.
std::vector<Found> find_files(const std::vector<std::string>& directories, const upgrade::Extension& named);

// One of them that is the extension, byte for byte: all of it is read. kNotFound, or kCorrupt when those that there are have other bytes.
Result<> find_whole(const std::vector<std::string>& directories, const upgrade::Extension& named);

}  // namespace steppe::extension
