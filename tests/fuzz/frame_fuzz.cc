#include <cstdint>
#include <cstdlib>

#include "init/frame/frame.h"

// Any bytes: the two parsers agree, and what decodes can be built again into a frame that decodes to the same.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace steppe;
  ByteView bytes(reinterpret_cast<const std::byte*>(data), size);
  frame::View view;
  frame::Status status = frame::parse(bytes, 1u << 16, view);
  if (size < 8) return 0;
  uint16_t type = load_le<uint16_t>(data + 4);
  auto message = frame::decode(bytes, type, 0xffff, 1u << 16);
  if (message.ok() && status != frame::Status::kOk) std::abort();
  if (status != frame::Status::kOk) return 0;
  frame::Builder again(view.type, view.version);
  frame::Fields fields(view.payload);
  for (frame::Field field; fields.next(field);) again.bytes(field.tag, field.value);
  if (!message.ok()) return 0;
  std::string copy = again.finish();
  auto second = frame::decode(as_bytes(copy), type, 0xffff, 1u << 16);
  if (!second.ok() || second->size() != message->size()) std::abort();
  return 0;
}
