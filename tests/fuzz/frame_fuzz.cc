#include <cstdint>
#include <cstdlib>
#include <vector>

#include "init/base/bytes.h"
#include "init/frame/frame.h"

namespace {
using namespace steppe;

// Sums a payload byte by byte: a length that reaches past the input is a read past the end.
uint64_t walk(ByteView payload) {
  uint64_t sum = 0;
  frame::Fields fields(payload);
  for (frame::Field field; fields.next(field);) {
    for (std::byte byte : field.value) sum += static_cast<uint8_t>(byte);
    sum += static_cast<uint64_t>(field.integer());
  }
  return sum;
}

void check(ByteView bytes) {
  frame::View view;
  frame::Status status = frame::parse(bytes, 1u << 16, view);
  uint16_t type = bytes.size() < 8 ? 0 : load_le<uint16_t>(reinterpret_cast<const char*>(bytes.data()) + 4);
  auto message = frame::decode(bytes, type, 0xffff, 1u << 16);
  if (message.ok() && status != frame::Status::kOk) std::abort();
  if (status != frame::Status::kOk) return;
  volatile uint64_t sum = walk(view.payload);
  static_cast<void>(sum);
  if (!message.ok()) return;
  frame::Builder again(view.type, view.version);
  frame::Fields fields(view.payload);
  for (frame::Field field; fields.next(field);) again.bytes(field.tag, field.value);
  std::string copy = again.finish();
  auto second = frame::decode(as_bytes(copy), type, 0xffff, 1u << 16);
  if (!second.ok() || second->size() != message->size()) std::abort();
}
}  // namespace

// Any bytes as they are, and as the payload of a frame whose magic, length and checksum are right: chance never finds a
// checksum. The two parsers agree, and what decodes can be built again into a frame that decodes to the same.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  check(ByteView(reinterpret_cast<const std::byte*>(data), size));
  if (size < 4 || size > (1u << 16)) return 0;
  std::vector<char> sealed(frame::kHeaderSize + size - 4);  // its end is the end of the memory
  store_le(sealed.data(), frame::kMagic);
  std::memcpy(sealed.data() + 4, data, 4);
  store_le(sealed.data() + 8, static_cast<uint32_t>(size - 4));
  if (size > 4) std::memcpy(sealed.data() + frame::kHeaderSize, data + 4, size - 4);
  ByteView all = std::as_bytes(std::span(sealed));
  store_le(sealed.data() + 12, crc32c(all.subspan(frame::kHeaderSize), crc32c(all.first(12))));
  check(all);
  return 0;
}
