#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

#include "init/base/bytes.h"
#include "init/base/result.h"

namespace steppe::client {

// Bytes in order, pulled. Blocks; for the process that unpacks.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // At least one byte unless the end (0).
  virtual Result<size_t> read(ByteSpan into) = 0;
};

enum class Compression : uint8_t { kNone, kGzip, kZstd, kXz };

// What `from` holds, decompressed. A cut or damaged stream is kCorrupt at the place where it shows. Memory is bounded:
// zstd windows up to 128 MiB, xz up to 256 MiB.
std::unique_ptr<ByteSource> decompress(ByteSource& from, Compression compression);

// By the first bytes: gzip, zstd and xz have magic numbers; anything else is kNone.
Compression detect_compression(std::string_view first_bytes);

// Bytes in memory, for tests and fuzzing.
class MemorySource final : public ByteSource {
 public:
  explicit MemorySource(std::string_view bytes) : rest_(bytes) {}
  Result<size_t> read(ByteSpan into) override {
    size_t n = std::min(into.size(), rest_.size());
    std::memcpy(into.data(), rest_.data(), n);
    rest_.remove_prefix(n);
    return n;
  }

 private:
  std::string_view rest_;
};

}  // namespace steppe::client
