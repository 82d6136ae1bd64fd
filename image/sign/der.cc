#include "image/sign/der.h"

#include <format>

namespace steppe::sign {

std::string der(uint8_t tag, std::string_view content) {
  std::string out(1, static_cast<char>(tag));
  const size_t size = content.size();
  if (size < 0x80) {
    out += static_cast<char>(size);
  } else {
    const int count = size < 0x100 ? 1 : size < 0x10000 ? 2 : 3;
    out += static_cast<char>(0x80 | count);
    for (int i = count - 1; i >= 0; --i) out += static_cast<char>(size >> (8 * i));
  }
  out += content;
  return out;
}

Result<DerReader::Element> DerReader::next() {
  const auto byte = [this](size_t at) { return static_cast<uint8_t>(rest_[at]); };
  if (rest_.size() < 2) return Error(Code::kCorrupt, "DER: cut off");
  if ((byte(0) & 0x1f) == 0x1f) return Error(Code::kCorrupt, "DER: a tag of several bytes");
  size_t length = byte(1), header = 2;
  if (length & 0x80) {
    const size_t count = length & 0x7f;
    if (count == 0 || count > 3 || rest_.size() < 2 + count)
      return Error(Code::kCorrupt, "DER: a length that is indefinite, too large or cut off");
    length = 0;
    for (size_t i = 0; i < count; ++i) length = length << 8 | byte(2 + i);
    if (length < 0x80 || (count > 1 && length >> (8 * (count - 1)) == 0))
      return Error(Code::kCorrupt, "DER: a length that could be shorter");
    header += count;
  }
  if (length > rest_.size() - header) return Error(Code::kCorrupt, "DER: cut off");
  Element element{byte(0), rest_.substr(header, length), rest_.substr(0, header + length)};
  rest_.remove_prefix(header + length);
  return element;
}

Result<DerReader::Element> DerReader::next(uint8_t tag, std::string_view what) {
  STEPPE_TRY(const Element element, next());
  if (element.tag != tag)
    return Error(Code::kCorrupt,
                 std::format("DER: expected {} (tag {:#04x}), found tag {:#04x}", what, tag, element.tag));
  return element;
}

}  // namespace steppe::sign
