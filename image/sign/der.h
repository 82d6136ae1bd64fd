#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "init/base/bytes.h"
#include "init/base/result.h"

namespace steppe::sign {

// DER (X.690), as far as signatures of programs need it: single-byte tags, definite lengths below 16 MiB.
inline constexpr uint8_t kInteger = 0x02, kBitString = 0x03, kOctetString = 0x04, kNull = 0x05, kOid = 0x06,
                         kSequence = 0x30, kSet = 0x31;
inline constexpr uint8_t context(uint8_t number) {
  return static_cast<uint8_t>(0xa0 | number);
}  // constructed [number]

// Tag, length and content.
std::string der(uint8_t tag, std::string_view content);

// Reads one element after the other. Views into the given bytes; any bytes are safe to read.
class DerReader {
 public:
  explicit DerReader(std::string_view bytes) : rest_(bytes) {}

  struct Element {
    uint8_t tag = 0;
    std::string_view content;
    std::string_view whole;  // with tag and length
  };
  bool done() const { return rest_.empty(); }
  bool at(uint8_t tag) const { return !rest_.empty() && static_cast<uint8_t>(rest_[0]) == tag; }
  Result<Element> next();                                    // kCorrupt: cut off, or not DER
  Result<Element> next(uint8_t tag, std::string_view what);  // kCorrupt: another tag
  std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

}  // namespace steppe::sign
