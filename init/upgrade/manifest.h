#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "init/base/bytes.h"
#include "init/base/result.h"
#include "init/upgrade/sha256.h"

namespace steppe::upgrade {

// Something that an image needs and does not hold: a signed read-only filesystem, found by its digest.
struct Extension {
  std::string name;  // [a-z0-9][a-z0-9._-]*, at most 64 bytes
  Digest digest{};
  uint64_t size = 0;
  // SHA-256 of the signed record in its file (init/upgrade/extension/record.h), which covers all of it by a hash tree: with it the file
  // can be mounted without being read as a whole.
  std::optional<Digest> record;
  friend bool operator==(const Extension&, const Extension&) = default;
};
bool good_extension_name(std::string_view name);

// What an image says of itself in its signed PE section ".steppe" (and the same bytes at /steppe.manifest in its initrd, so
// that a running image knows its own). The image's identity is the SHA-256 of the whole signed file and so cannot stand here;
// `build_id` is unique to one build and proves which image runs.
struct Manifest {
  std::string version;           // check_version(); equal to IMAGE_VERSION of .osrel, by which the loader orders
  std::string arch;              // "x86-64" or "arm64"
  uint64_t security_version = 0; // never goes back on a machine
  std::string kernel;            // the kernel's release, for extensions that hold modules
  std::array<std::byte, 32> build_id{};
  uint64_t built_unix_s = 0;     // the clock of a machine is never older
  std::vector<Extension> extensions;      // at most kMaxExtensions, names unique, in order of name
  std::optional<Extension> task_root;     // absent: the small one inside the image
  friend bool operator==(const Manifest&, const Manifest&) = default;
};

inline constexpr size_t kMaxExtensions = 32;
inline constexpr size_t kMaxManifest = 16 << 10;  // bytes of the section's frame
inline constexpr std::string_view kManifestSection = ".steppe";

// One frame (init/frame/wire.h) of type kImageManifest, version 1. Fields: 1 version, 2 arch, 3 security version, 4 kernel,
// 5 build id, 6 extensions (frames of type kImageExtension, one after the other: 1 name, 2 digest, 3 size, 4 record), 7 task
// root (one such frame), 8 built (seconds). encode fails on what decode would refuse.
Result<std::string> encode_manifest(const Manifest& manifest);
// `section` may be longer than the frame when the rest is zeros (PE sections are padded). kCorrupt, kUnsupported or kInvalid
// with what is wrong. Pure; bounded by kMaxManifest.
Result<Manifest> decode_manifest(ByteView section);

}  // namespace steppe::upgrade
