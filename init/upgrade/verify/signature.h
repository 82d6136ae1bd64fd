#pragma once

#include <string>
#include <vector>

#include "init/base/bytes.h"
#include "init/base/result.h"
#include "init/upgrade/manifest.h"

namespace steppe::verify {

using upgrade::Digest;

// Whom a machine trusts to sign its images, and what it refuses whoever signed it: db and dbx of Secure Boot, or the keys of
// its own configuration.
struct MachineKeys {
  std::vector<std::string> trusted;      // X.509 certificates, DER; a signer is one of them or was issued below one
  std::vector<Digest> refused_images;    // Authenticode digests
  std::vector<Digest> refused_signers;   // SHA-256 of a signer's certificate, DER
};

inline constexpr size_t kMaxTrusted = 64;

// The certificate as DER from PEM or DER; for reading key files. kInvalid when it is neither.
Result<std::string> certificate_der(ByteView text);

// Whether one PKCS#7 blob of a certificate table is a signature over `digest` by someone trusted: exactly one signer, SHA-256 all
// through, the signed content SpcIndirectData with this digest. As firmware does, validity times are not looked at: a machine
// may boot in 1970. The signer's name ("CN=…"), or kDenied (not trusted, refused), kCorrupt (it signs other bytes), kInvalid.
Result<std::string> check_signature(ByteView pkcs7, const Digest& digest, const MachineKeys& keys);

}  // namespace steppe::verify
