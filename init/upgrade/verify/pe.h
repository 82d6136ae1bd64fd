#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "init/base/bytes.h"
#include "init/base/result.h"
#include "init/upgrade/manifest.h"

namespace steppe::verify {

using upgrade::Digest;

// Where an image's bytes come from. Blocking.
class ImageBytes {
 public:
  virtual ~ImageBytes() = default;
  virtual uint64_t size() const = 0;
  // All of them or an error. Requires offset + into.size() <= size().
  virtual Result<> read(uint64_t offset, ByteSpan into) = 0;
};

// "PE Format" (Microsoft), sections 3 and 4: what Authenticode and the boot stub look at, no more.
struct PeSection {
  std::string name;       // up to 8 bytes, without the zeros
  uint64_t offset = 0;    // of its bytes in the file
  uint64_t size = 0;      // of its bytes in the file
  uint64_t used = 0;      // of them, what is loaded (VirtualSize, when smaller)
};
struct PeImage {
  uint16_t machine = 0;   // 0x8664 x86-64, 0xaa64 arm64
  uint64_t headers = 0;   // SizeOfHeaders
  uint64_t checksum = 0;  // file offset of the CheckSum field
  uint64_t certificates_entry = 0;  // file offset of the certificate table's directory entry
  uint64_t certificates = 0, certificates_size = 0;  // the certificate table; 0 when unsigned
  std::vector<PeSection> sections;  // in the order of the file's bytes; those without bytes left out

  const PeSection* find(std::string_view name) const;   // null when absent or there twice
};

inline constexpr size_t kMaxSections = 96;
inline constexpr uint64_t kMaxCertificates = 256 << 10;

// kInvalid names the field that is wrong. Refuses what could hide bytes from the digest: sections that overlap or leave gaps,
// bytes after the last one that are not the certificate table. Bounded: reads 64 KiB at most.
Result<PeImage> read_pe(ImageBytes& bytes);

// SHA-256 of the file as Authenticode means it ("Windows Authenticode Portable Executable Signature Format", "Calculating
// the PE Image Hash"): without CheckSum, the certificate table and its directory entry.
Result<Digest> authenticode_digest(ImageBytes& bytes, const PeImage& image);

// The bytes of one section, at most `limit` of them (kExhausted beyond).
Result<std::string> read_section(ImageBytes& bytes, const PeSection& section, size_t limit);

// The PKCS#7 blobs of the certificate table, at most 8.
Result<std::vector<std::string>> read_signatures(ImageBytes& bytes, const PeImage& image);

}  // namespace steppe::verify
