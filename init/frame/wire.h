#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

// The frame codec without allocation, exceptions or library calls, so that the executor (no libc) shares it.
// Everything else uses init/frame/frame.h.
//
//   0  u32 magic "STF1"      4  u16 type     6  u16 version     8  u32 payload length
//   12 u32 CRC-32C of bytes 0..11 and the payload
//   16 payload: fields {u16 tag, u16 zero, u32 length, bytes}, little-endian, unaligned, in any order
//
// A type's fields are append-only: a reader skips tags it does not know. `version` rises only when an old reader must
// refuse the frame.
namespace steppe::frame {

inline constexpr uint32_t kMagic = 0x31465453;
inline constexpr size_t kHeaderSize = 16;
inline constexpr size_t kFieldHeaderSize = 8;
inline constexpr uint32_t kMaxPayload = 16u << 20;

enum class Status : uint8_t {
  kOk,
  kShort,        // more bytes are needed
  kBadMagic,     // not a frame
  kTooLong,      // longer than the reader's limit
  kBadChecksum,  // damaged
  kBadField,     // a field reaches past the payload, has the wrong size, or is there twice where once is allowed
};

// CRC-32C over a 64-byte table: small rather than fast (about 4 cycles a nibble). Equal to steppe::crc32c.
inline uint32_t small_crc32c(std::span<const std::byte> bytes, uint32_t seed = 0) {
  static constexpr uint32_t kTable[16] = {0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
                                          0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
                                          0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75};
  uint32_t crc = ~seed;
  for (std::byte byte : bytes) {
    crc ^= static_cast<uint8_t>(byte);
    crc = (crc >> 4) ^ kTable[crc & 15];
    crc = (crc >> 4) ^ kTable[crc & 15];
  }
  return ~crc;
}

template <class T>
T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}
template <class T>
void store(std::byte* to, T value) {
  std::memcpy(to, &value, sizeof value);
}

// Builds one frame in the caller's buffer. What does not fit makes finish() return an empty span.
class Writer {
 public:
  Writer(std::span<std::byte> buffer, uint16_t type, uint16_t version) : buffer_(buffer), used_(kHeaderSize) {
    if (buffer_.size() < kHeaderSize) {
      overflow_ = true;
      return;
    }
    store(buffer_.data(), kMagic);
    store(buffer_.data() + 4, type);
    store(buffer_.data() + 6, version);
  }

  void add(uint16_t tag, std::span<const std::byte> value) {
    if (overflow_ || buffer_.size() - used_ < kFieldHeaderSize ||
        buffer_.size() - used_ - kFieldHeaderSize < value.size()) {
      overflow_ = true;
      return;
    }
    std::byte* at = buffer_.data() + used_;
    store(at, tag);
    store<uint16_t>(at + 2, 0);
    store(at + 4, static_cast<uint32_t>(value.size()));
    if (!value.empty()) std::memcpy(at + kFieldHeaderSize, value.data(), value.size());
    used_ += kFieldHeaderSize + value.size();
  }
  void add_integer(uint16_t tag, int64_t value) { add(tag, std::as_bytes(std::span(&value, 1))); }

  std::span<const std::byte> finish() {
    if (overflow_ || used_ - kHeaderSize > kMaxPayload) return {};
    store(buffer_.data() + 8, static_cast<uint32_t>(used_ - kHeaderSize));
    uint32_t crc = small_crc32c(buffer_.first(12));
    crc = small_crc32c(buffer_.subspan(kHeaderSize, used_ - kHeaderSize), crc);
    store(buffer_.data() + 12, crc);
    return buffer_.first(used_);
  }

 private:
  std::span<std::byte> buffer_;
  size_t used_;
  bool overflow_ = false;
};

struct View {
  uint16_t type = 0, version = 0;
  std::span<const std::byte> payload;
  size_t size = 0;  // header and payload: where the next frame begins
};

using Crc = uint32_t (*)(std::span<const std::byte>, uint32_t seed);

// The frame at the start of `bytes`. kShort says that more bytes may complete it; every other failure is final.
inline Status parse(std::span<const std::byte> bytes, uint32_t max_payload, View& out, Crc crc = small_crc32c) {
  if (bytes.size() >= 4 && load<uint32_t>(bytes.data()) != kMagic) return Status::kBadMagic;
  if (bytes.size() < kHeaderSize) return Status::kShort;
  uint32_t length = load<uint32_t>(bytes.data() + 8);
  if (length > max_payload || length > kMaxPayload) return Status::kTooLong;
  if (bytes.size() - kHeaderSize < length) return Status::kShort;
  std::span<const std::byte> payload = bytes.subspan(kHeaderSize, length);
  if (crc(payload, crc(bytes.first(12), 0)) != load<uint32_t>(bytes.data() + 12)) return Status::kBadChecksum;
  out = {load<uint16_t>(bytes.data() + 4), load<uint16_t>(bytes.data() + 6), payload, kHeaderSize + length};
  return Status::kOk;
}

struct Field {
  uint16_t tag = 0;
  std::span<const std::byte> value;

  // The value as a signed 64-bit integer; `otherwise` when it has another size.
  int64_t integer(int64_t otherwise = 0) const {
    return value.size() == sizeof(int64_t) ? load<int64_t>(value.data()) : otherwise;
  }
};

// Walks a payload. next() is false at the end and at damage; damaged() tells which.
class Fields {
 public:
  explicit Fields(std::span<const std::byte> payload) : rest_(payload) {}

  bool next(Field& out) {
    if (rest_.empty() || damaged_) return false;
    if (rest_.size() < kFieldHeaderSize) return damage();
    uint32_t length = load<uint32_t>(rest_.data() + 4);
    if (load<uint16_t>(rest_.data() + 2) != 0 || rest_.size() - kFieldHeaderSize < length) return damage();
    out = {load<uint16_t>(rest_.data()), rest_.subspan(kFieldHeaderSize, length)};
    rest_ = rest_.subspan(kFieldHeaderSize + length);
    return true;
  }
  bool damaged() const { return damaged_; }

 private:
  bool damage() {
    damaged_ = true;
    return false;
  }
  std::span<const std::byte> rest_;
  bool damaged_ = false;
};

}  // namespace steppe::frame
