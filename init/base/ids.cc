#include "init/base/ids.h"


namespace steppe {
namespace {

// 0..15, or -1 for what is no hexadecimal digit.
int nibble(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

}  // namespace


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
  // Ids are parsed many times per request: no allocation on the way.
  Uuid id;
  size_t at = 0;
  for (size_t i = 0; i < kLength; i += 2) {
    if (text[i] == '-') ++i;
    const int high = nibble(text[i]);
    const int low = nibble(text[i + 1]);
    if (high < 0 || low < 0) {
      return Error(Code::kInvalid, "not a UUID (a character is no hexadecimal digit): " + std::string(text));
    }
    id.bytes[at++] = static_cast<std::byte>(high << 4 | low);
  }
  return id;
}

std::string Uuid::text() const {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  out.reserve(36);
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) out.push_back('-');
    out.push_back(kDigits[std::to_integer<int>(bytes[i]) >> 4]);
    out.push_back(kDigits[std::to_integer<int>(bytes[i]) & 15]);
  }
  return out;
}

}  // namespace steppe
