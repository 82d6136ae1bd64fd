#include "init/json/writer.h"

#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstring>

namespace steppe::json {
namespace {

struct EscapeTable {
  // 0: as it is; 1: escape; 2: part of a longer character
  uint8_t of[256] = {};
  constexpr EscapeTable() {
    for (int byte = 0; byte < 0x20; ++byte) of[byte] = 1;
    of[static_cast<uint8_t>('"')] = 1;
    of[static_cast<uint8_t>('\\')] = 1;
    for (int byte = 0x80; byte < 0x100; ++byte) of[byte] = 2;
  }
};
constexpr EscapeTable kEscapeTable;

// The length of the UTF-8 sequence at the front; 0 when it is not one.
size_t sequence_length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto follows = [&](size_t i, unsigned low = 0x80, unsigned high = 0xBF) {
    return i < text.size() && byte(i) >= low && byte(i) <= high;
  };
  const unsigned lead = byte(0);
  if (lead >= 0xC2 && lead <= 0xDF) return follows(1) ? 2 : 0;
  if (lead >= 0xE0 && lead <= 0xEF) {
    const unsigned low = lead == 0xE0 ? 0xA0 : 0x80;
    const unsigned high = lead == 0xED ? 0x9F : 0xBF;
    return follows(1, low, high) && follows(2) ? 3 : 0;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    const unsigned low = lead == 0xF0 ? 0x90 : 0x80;
    const unsigned high = lead == 0xF4 ? 0x8F : 0xBF;
    return follows(1, low, high) && follows(2) && follows(3) ? 4 : 0;
  }
  return 0;
}

void append_escape(std::string* out, unsigned char byte) {
  static constexpr char kHex[] = "0123456789abcdef";
  switch (byte) {
    case '"': out->append("\\\""); return;
    case '\\': out->append("\\\\"); return;
    case '\b': out->append("\\b"); return;
    case '\f': out->append("\\f"); return;
    case '\n': out->append("\\n"); return;
    case '\r': out->append("\\r"); return;
    case '\t': out->append("\\t"); return;
    default: break;
  }
  out->append("\\u00");
  out->push_back(kHex[byte >> 4]);
  out->push_back(kHex[byte & 15]);
}

void append_escaped(std::string* out, std::string_view text) {
  size_t start = 0;
  size_t at = 0;
  while (at < text.size()) {
    const auto byte = static_cast<unsigned char>(text[at]);
    const uint8_t class_of = kEscapeTable.of[byte];
    if (class_of == 0) {
      ++at;
      continue;
    }
    if (class_of == 2) {
      const size_t length = sequence_length(text.substr(at));
      const bool separator = length == 3 && (text.substr(at, 3) == "\u2028" || text.substr(at, 3) == "\u2029");
      if (length != 0 && !separator) {
        at += length;
        continue;
      }
      out->append(text.substr(start, at - start));
      if (separator) {
        out->append(text[at + 2] == '\xA8' ? "\\u2028" : "\\u2029");
      } else {
        out->append("\\ufffd");
      }
      at += separator ? 3 : 1;
      start = at;
      continue;
    }
    out->append(text.substr(start, at - start));
    append_escape(out, byte);
    start = ++at;
  }
  out->append(text.substr(start));
}

}  // namespace

void append_quoted(std::string* out, std::string_view text) {
  out->push_back('"');
  // Nearly all strings are short and plain: find out first, copy once.
  uint8_t seen = 0;
  for (const char c : text) seen |= kEscapeTable.of[static_cast<unsigned char>(c)];
  if (seen == 0) [[likely]] {
    out->append(text);
  } else {
    append_escaped(out, text);
  }
  out->push_back('"');
}

// Go's encoding/json: plain notation from 1e-6 up to 1e21, else an exponent without leading zeros.
void append_number(std::string* out, double value) {
  if (!std::isfinite(value)) {
    out->append("null");
    return;
  }
  char digits[64];
  const double magnitude = std::fabs(value);
  const bool plain = magnitude == 0 || (magnitude >= 1e-6 && magnitude < 1e21);
  const auto format = plain ? std::chars_format::fixed : std::chars_format::scientific;
  char* end = std::to_chars(digits, digits + sizeof digits, value, format).ptr;
  std::string_view text(digits, static_cast<size_t>(end - digits));
  const size_t exponent = text.size() >= 4 ? text.size() - 4 : 0;
  if (!plain && text.substr(exponent, 3) == "e-0") {
    out->append(text.substr(0, exponent + 2));
    out->push_back(text.back());
    return;
  }
  out->append(text);
}

void Writer::key(std::string_view name) {
  separate();
  append_quoted(&out_, name);
  out_.push_back(':');
  if (pretty_) out_.push_back(' ');
  after_key_ = true;
}

void Writer::text(std::string_view value) {
  before_value();
  append_quoted(&out_, value);
}

void Writer::integer(int64_t value) {
  before_value();
  char digits[24];
  out_.append(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
}

void Writer::unsigned_integer(uint64_t value) {
  before_value();
  char digits[24];
  out_.append(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
}

void Writer::number(double value) {
  before_value();
  append_number(&out_, value);
}

void Writer::new_line() {
  out_.push_back('\n');
  out_.append(size_t{4} * depth_, ' ');
}

}  // namespace steppe::json
