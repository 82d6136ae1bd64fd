#pragma once

#include <string>
#include <vector>

#include "image/sign/key.h"
#include "image/uki/pe.h"
#include "init/base/bytes.h"
#include "init/base/result.h"

// Signatures of EFI programs: Microsoft's "Windows Authenticode Portable Executable Signature Format", PKCS#7 (RFC
// 2315) in the certificate table, SHA-256 and RSASSA-PKCS1-v1_5 alone.
namespace steppe::sign {

// The digest that a signature covers: the whole file without checksum, the certificate table and its directory entry.
std::string authenticode_digest(ByteView file, const uki::Pe& pe);

// The signed file. An earlier signature is replaced. The signature holds no time (its attributes are content type and
// digest alone), so same file and key, same bytes. kInvalid when key and certificate do not belong together.
Result<std::string> sign_program(ByteView file, const PrivateKey& key, const Certificate& certificate);

// The same signature over a digest alone (32 bytes), as PKCS#7: for what is no program. What is signed that way must not begin as a program
// does ("MZ"), so that one can never stand for the other.
Result<std::string> sign_digest(std::string_view digest, const PrivateKey& key, const Certificate& certificate);

// The file without its signatures: what was signed, byte for byte, when `sign_program` made it.
Result<std::string> strip_signatures(ByteView file);

struct Signature {
  std::string subject, fingerprint;  // of the certificate by which it was made
};
// The certificates that the file's signatures name as their makers. Nothing is verified: for display.
Result<std::vector<Signature>> claimed_signers(ByteView file);
// Who of `trusted` signed the file: the first signature whose certificate is one of them or was issued by one. kDenied
// says why there is none: not signed, changed since, signed by others (named). kCorrupt: the file or its certificate
// table is damaged. Any bytes are safe to read.
Result<Signature> verify_program(ByteView file, const std::vector<Certificate>& trusted);

}  // namespace steppe::sign
