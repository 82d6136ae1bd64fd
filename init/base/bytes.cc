#include "init/base/bytes.h"

#include <array>

namespace steppe {

std::string hex(ByteView bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const std::byte b : bytes) {
    out.push_back(kDigits[std::to_integer<unsigned>(b) >> 4]);
    out.push_back(kDigits[std::to_integer<unsigned>(b) & 15]);
  }
  return out;
}

namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

constexpr char kBase64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

constexpr std::array<int8_t, 256> make_base64_values() {
  std::array<int8_t, 256> values{};
  values.fill(-1);
  for (int i = 0; i < 64; ++i) values[static_cast<unsigned char>(kBase64[i])] = static_cast<int8_t>(i);
  return values;
}
constexpr std::array<int8_t, 256> kBase64Values = make_base64_values();

}  // namespace

Result<std::string> unhex(std::string_view text) {
  if (text.size() % 2 != 0) return Error(Code::kInvalid, "hexadecimal text of odd length");
  std::string out;
  out.reserve(text.size() / 2);
  for (size_t i = 0; i < text.size(); i += 2) {
    const int high = hex_digit(text[i]);
    const int low = hex_digit(text[i + 1]);
    if (high < 0 || low < 0) {
      return Error(Code::kInvalid, "not a hexadecimal digit at offset " + std::to_string(i));
    }
    out.push_back(static_cast<char>(high << 4 | low));
  }
  return out;
}

std::string base64(ByteView bytes) {
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t left = bytes.size() - i;
    uint32_t word = std::to_integer<uint32_t>(bytes[i]) << 16;
    if (left > 1) word |= std::to_integer<uint32_t>(bytes[i + 1]) << 8;
    if (left > 2) word |= std::to_integer<uint32_t>(bytes[i + 2]);
    out.push_back(kBase64[word >> 18]);
    out.push_back(kBase64[word >> 12 & 63]);
    out.push_back(left > 1 ? kBase64[word >> 6 & 63] : '=');
    out.push_back(left > 2 ? kBase64[word & 63] : '=');
  }
  return out;
}

Result<std::string> unbase64(std::string_view text) {
  if (text.size() % 4 != 0) return Error(Code::kInvalid, "base64 text whose length is not a multiple of 4");
  std::string out;
  out.reserve(text.size() / 4 * 3);
  for (size_t i = 0; i < text.size(); i += 4) {
    const bool last = i + 4 == text.size();
    int padding = 0;
    if (last && text[i + 3] == '=') padding = text[i + 2] == '=' ? 2 : 1;
    uint32_t word = 0;
    for (int k = 0; k < 4 - padding; ++k) {
      const int value = kBase64Values[static_cast<unsigned char>(text[i + k])];
      if (value < 0) return Error(Code::kInvalid, "not a base64 character at offset " + std::to_string(i + k));
      word |= static_cast<uint32_t>(value) << (18 - 6 * k);
    }
    const uint32_t unused = padding == 2 ? 0xffff : padding == 1 ? 0xff : 0;
    if (word & unused) return Error(Code::kInvalid, "base64 text with stray bits at its end");
    out.push_back(static_cast<char>(word >> 16));
    if (padding < 2) out.push_back(static_cast<char>(word >> 8));
    if (padding < 1) out.push_back(static_cast<char>(word));
  }
  return out;
}

namespace {

constexpr std::array<std::array<uint32_t, 256>, 8> make_crc_tables() {
  std::array<std::array<uint32_t, 256>, 8> tables{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = crc & 1 ? crc >> 1 ^ 0x82f63b78 : crc >> 1;
    tables[0][i] = crc;
  }
  for (uint32_t i = 0; i < 256; ++i) {
    for (size_t k = 1; k < 8; ++k) {
      tables[k][i] = tables[k - 1][i] >> 8 ^ tables[0][tables[k - 1][i] & 255];
    }
  }
  return tables;
}
constexpr auto kCrcTables = make_crc_tables();

uint32_t crc_by_table(const std::byte* data, size_t size, uint32_t crc) {
  for (; size >= 8; data += 8, size -= 8) {
    const uint64_t word = load_le<uint64_t>(data) ^ crc;
    crc = 0;
    for (size_t k = 0; k < 8; ++k) crc ^= kCrcTables[7 - k][word >> (8 * k) & 255];
  }
  for (; size > 0; ++data, --size) crc = crc >> 8 ^ kCrcTables[0][(crc ^ std::to_integer<uint32_t>(*data)) & 255];
  return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) uint32_t crc_by_instruction(const std::byte* data, size_t size, uint32_t crc) {
  uint64_t wide = crc;
  for (; size >= 8; data += 8, size -= 8) wide = __builtin_ia32_crc32di(wide, load_le<uint64_t>(data));
  auto narrow = static_cast<uint32_t>(wide);
  for (; size > 0; ++data, --size) narrow = __builtin_ia32_crc32qi(narrow, std::to_integer<unsigned char>(*data));
  return narrow;
}
#endif

}  // namespace

uint32_t crc32c(ByteView bytes, uint32_t seed) {
#if defined(__x86_64__)
  static const bool has_instruction = __builtin_cpu_supports("sse4.2");
  if (has_instruction) return ~crc_by_instruction(bytes.data(), bytes.size(), ~seed);
#endif
  return ~crc_by_table(bytes.data(), bytes.size(), ~seed);
}

}  // namespace steppe
