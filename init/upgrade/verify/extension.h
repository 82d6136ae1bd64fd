#pragma once

#include <optional>
#include <string>

#include "init/upgrade/extension/record.h"
#include "init/upgrade/verify/pe.h"
#include "init/upgrade/verify/signature.h"

namespace steppe::verify {

// What a machine asks of one extension.
struct ExtensionWanted {
  upgrade::Extension named;  // by the running image's manifest
  std::string arch;          // the machine's: "x86-64" or "arm64"
  std::string kernel;        // the release of the running kernel
  MachineKeys keys;          // without a trusted one the digest in the image has to do: an image that nobody signed
};

// An extension that this machine may mount. Its root hash is the one to mount it with: whatever the file says later, the kernel
// reads nothing else.
struct ExtensionFit {
  extension::Record record;
  std::string signer;  // "" where there are no keys
  friend bool operator==(const ExtensionFit&, const ExtensionFit&) = default;
};

// The file that the image names: of its size, with its record (or, where the image does not name that, with its digest, for which all
// of the file is read), under its name, signed by someone trusted, for this processor, and for this kernel where it holds
// modules. The error says which of these is not so, and what was found. `bytes` is read at 64 KiB a time.
Result<ExtensionFit> check_extension(ImageBytes& bytes, const ExtensionWanted& wanted);

// Any extension's header, its size, and the signer when there are keys: for tools.
Result<extension::Header> read_extension(ImageBytes& bytes);
Result<std::string> check_extension_signature(const extension::Header& header, const MachineKeys& keys);

// SHA-256 of all bytes.
Result<Digest> digest_of(ImageBytes& bytes);

// What the child hands back: one frame, checksummed, or the error's text.
std::string encode_extension_verdict(const Result<ExtensionFit>& verdict);
Result<ExtensionFit> decode_extension_verdict(ByteView bytes);
inline constexpr size_t kMaxExtensionVerdict = 32 << 10;

}  // namespace steppe::verify
