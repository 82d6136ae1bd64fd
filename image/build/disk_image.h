#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "image/build/workbench.h"
#include "image/spec/spec.h"

namespace steppe::build {

// Writes a disk image to `path` (sparse): GPT, and an ESP with the boot loader at the place where firmware looks for
// one, the image below EFI/Linux under its slot's name, and the extensions' files where a node looks for them. The loader is
// signed with the spec's key. Every id and time follows from spec and image.
struct DiskContent {
  std::string image_path;
  std::string_view image;                          // its bytes
  std::map<std::string, std::string> extensions;   // SHA-256, hexadecimal -> the file on the build host
};
Result<> make_disk_image(const spec::Spec& spec, const DiskContent& content, Bytes size, const std::string& path, const std::string& scratch,
                         Workbench& bench);

// The disk image `raw` as a qcow2 (version 3, without what is zero), which clouds take. With kYes each cluster is
// deflated: smaller to send, slower to start. The bytes follow from those of the disk image.
enum class Compress : uint8_t { kNo, kYes };
Result<> make_qcow2(const std::string& raw, const std::string& path, Compress compress, const std::string& scratch,
                    Workbench& bench);

}  // namespace steppe::build
