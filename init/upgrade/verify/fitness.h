#pragma once

#include <string>
#include <string_view>

#include "init/upgrade/manifest.h"
#include "init/upgrade/verify/pe.h"
#include "init/upgrade/verify/signature.h"

namespace steppe::verify {

// What this machine asks of an image.
struct Requirements {
  MachineKeys keys;
  std::string arch;               // "x86-64" or "arm64"
  uint64_t security_floor = 0;
};

// An image that this machine may start.
struct Fit {
  upgrade::Manifest manifest;
  Digest section{};       // SHA-256 of the manifest's frame
  Digest authenticode{};
  std::string signer;
  friend bool operator==(const Fit&, const Fit&) = default;
};

// Signed by someone trusted, for this architecture, complete (.linux, .initrd, .cmdline, .osrel and .steppe, the last two once),
// IMAGE_VERSION of .osrel (by which the loader orders) equal to the manifest's version, IMAGE_ID=steppe, and not below the
// security floor. The error says which of these is not so, and what was found.
Result<Fit> check_image(ImageBytes& bytes, const Requirements& wanted);

// Without signature and requirements: what an image says of itself.
Result<Fit> describe_image(ImageBytes& bytes);

// What the child hands back: one frame, checksummed, or the error's text.
std::string encode_verdict(const Result<Fit>& verdict);
Result<Fit> decode_verdict(ByteView bytes);
inline constexpr size_t kMaxVerdict = 64 << 10;

}  // namespace steppe::verify
