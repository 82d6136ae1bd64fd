#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "image/sign/authenticode.h"
#include "image/uki/pe.h"

namespace {
using namespace steppe;

const std::vector<sign::Certificate>& trusted() {
  static const std::vector<sign::Certificate> certificates = [] {
    std::vector<sign::Certificate> out;
    const auto key = sign::PrivateKey::generate(2048);
    if (!key.ok()) std::abort();
    auto certificate = sign::Certificate::self_signed(*key, "fuzz");
    if (!certificate.ok()) std::abort();
    out.push_back(*std::move(certificate));
    return out;
  }();
  return certificates;
}

// The smallest program that can be signed, with `table` as its certificate table: chance seldom makes one.
std::string program_with(std::string_view table) {
  std::string file(0x400, '\0');
  char* at = file.data();
  at[0] = 'M';
  at[1] = 'Z';
  store_le<uint32_t>(at + 60, 64);
  std::memcpy(at + 64, "PE\0\0", 4);
  store_le<uint16_t>(at + 68, uki::kMachineX64);
  store_le<uint16_t>(at + 70, 1);
  store_le<uint16_t>(at + 84, 240);
  store_le<uint16_t>(at + 88, 0x20b);
  store_le<uint32_t>(at + 88 + 32, 0x1000);
  store_le<uint32_t>(at + 88 + 36, 0x200);
  store_le<uint32_t>(at + 88 + 56, 0x2000);
  store_le<uint32_t>(at + 88 + 60, 0x200);
  store_le<uint32_t>(at + 88 + 108, 16);
  char* row = at + 88 + 240;
  std::memcpy(row, ".text", 5);
  store_le<uint32_t>(row + 8, 0x100);
  store_le<uint32_t>(row + 12, 0x1000);
  store_le<uint32_t>(row + 16, 0x200);
  store_le<uint32_t>(row + 20, 0x200);
  store_le<uint32_t>(at + 88 + 112 + 32, static_cast<uint32_t>(file.size()));
  store_le<uint32_t>(at + 88 + 112 + 36, static_cast<uint32_t>(8 + table.size()));
  char header[8];
  store_le(header, static_cast<uint32_t>(8 + table.size()));
  store_le<uint16_t>(header + 4, 0x0200);
  store_le<uint16_t>(header + 6, 0x0002);
  file.append(header, 8);
  file += table;
  file.shrink_to_fit();
  return file;
}

void check(ByteView file) {
  auto pe = uki::read_pe(file);
  if (pe.ok()) {
    for (const uki::Section& section : pe->sections) {
      if (uki::section_bytes(file, section).size() > file.size()) std::abort();
    }
    static_cast<void>(sign::strip_signatures(file).ok());
  }
  static_cast<void>(sign::claimed_signers(file).ok());
  if (sign::verify_program(file, trusted()).ok()) std::abort();  // nobody has that key
}
}  // namespace

// Any bytes as an EFI program, and as the signature of one. Nothing that was not signed is ever verified.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > (1u << 20)) return 0;
  const ByteView bytes(reinterpret_cast<const std::byte*>(data), size);
  check(bytes);
  const std::string program = program_with(as_text(bytes));
  check(as_bytes(program));
  return 0;
}
