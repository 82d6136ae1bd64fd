#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "image/build/disk_image.h"
#include "image/build/root.h"
#include "image/build/store.h"
#include "image/build/workbench.h"
#include "image/rootfs/scan.h"
#include "image/spec/lock.h"
#include "image/spec/spec.h"
#include "init/upgrade/manifest.h"

namespace steppe::build {

struct Options {
  std::string directory;              // results; absolute
  std::optional<Bytes> disk_size;     // make a disk image of this size
  bool qcow2 = false;                 // and the same as a qcow2; needs disk_size
  Compress compress = Compress::kNo;  // the qcow2
  bool iso = false;
  bool netboot = false;               // kernel, initrd and iPXE script beside the image
};

// What takes room in an image, in the order of the size.
struct Share {
  std::string name;
  uint64_t bytes = 0;
};

struct Outcome {
  std::vector<std::string> files;  // written, absolute
  std::string image, digest;       // the image's path and identity: SHA-256 of the whole file
  std::string kernel;
  uint64_t size = 0, task_root_size = 0;
  size_t module_count = 0;
  std::vector<Share> shares;
  std::vector<std::string> absent;  // Kernel::absent
  std::vector<upgrade::Extension> extensions;  // that the image names; those made here are among the files, as NAME.ext
  std::map<std::string, std::string> extension_files;  // SHA-256 -> the file, of those that are at hand
  bool is_signed = false;
};

// Makes `steppe-VERSION-ARCH.efi`, the list of what is in it (.spdx.json) and what the options ask for in the directory. Same spec, lock, key and tools: same
// bytes. The packages are in the store (Store::fetch). kExhausted, with a table of what takes the room, past a limit of
// the spec; kDenied when the scan of the finished root finds what may not be there. Nothing with an image's name is
// written before all checks passed.
Result<Outcome> build_image(const spec::Spec& spec, const spec::Lock& lock, const Options& options, Store& store,
                            Workbench& bench, const Report& report);

// The extensions of the spec alone, for the kernel that it names. Of the outcome: files, kernel, extensions.
Result<Outcome> build_extensions(const spec::Spec& spec, const spec::Lock& lock, const Options& options, Store& store,
                                 Workbench& bench, const Report& report);

// A tree as a squashfs, compressed by zstd, with every time `date_s`.
Result<std::string> make_squashfs(const fs::Tree& tree, const spec::Compression& compression, int64_t date_s,
                                  const std::string& scratch, Workbench& bench);
// The other way, of any squashfs; `limit` bytes of content.
Result<fs::Tree> read_squashfs(std::string_view bytes, Bytes limit, Workbench& bench);

}  // namespace steppe::build
