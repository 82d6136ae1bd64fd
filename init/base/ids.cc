#include "init/base/ids.h"

#include "init/base/bytes.h"

namespace steppe {

Uuid Uuid::random(Rng& rng) {
  Uuid id;
  rng.fill(id.bytes);
  id.bytes[6] = (id.bytes[6] & std::byte{0x0f}) | std::byte{0x40};
  id.bytes[8] = (id.bytes[8] & std::byte{0x3f}) | std::byte{0x80};
  return id;
}

Result<Uuid> Uuid::parse(std::string_view text) {
  static constexpr size_t kLength = 36;
  if (text.size() != kLength || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-') {
    return Error(Code::kInvalid, "not a UUID (expected 8-4-4-4-12 hexadecimal digits): " + std::string(text.substr(0, 64)));
  }
  std::string digits;
  digits.reserve(32);
  for (size_t i = 0; i < kLength; ++i) {
    if (i == 8 || i == 13 || i == 18 || i == 23) continue;
    digits.push_back(text[i]);
  }
  STEPPE_TRY(const std::string raw, unhex(digits).wrap("UUID"));
  Uuid id;
  std::memcpy(id.bytes.data(), raw.data(), id.bytes.size());
  return id;
}

std::string Uuid::text() const {
  std::string out = hex(bytes);
  for (const size_t at : {20, 16, 12, 8}) out.insert(at, 1, '-');
  return out;
}

}  // namespace steppe
