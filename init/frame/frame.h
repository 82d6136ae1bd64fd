#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "init/base/bytes.h"
#include "init/base/result.h"
#include "init/frame/frame_type.h"
#include "init/frame/wire.h"

namespace steppe::frame {

// Grows one frame in a string.
//   Builder frame(kHandleType, 1);
//   frame.text(1, name).integer(2, pid);
//   std::string bytes = frame.finish();
class Builder {
 public:
  Builder(uint16_t type, uint16_t version);
  Builder& bytes(uint16_t tag, ByteView value);
  Builder& text(uint16_t tag, std::string_view value) { return bytes(tag, as_bytes(value)); }
  Builder& integer(uint16_t tag, int64_t value);
  // The frame, or an empty string when the payload passed kMaxPayload. The builder is used up.
  std::string finish();

 private:
  std::string buffer_;
};

// A decoded frame: each tag at most once (a repeated tag is damage). Views into the decoded bytes.
class Message {
 public:
  uint16_t type() const { return type_; }
  uint16_t version() const { return version_; }
  size_t size() const { return size_; }
  bool has(uint16_t tag) const { return fields_.contains(tag); }
  ByteView bytes(uint16_t tag) const;                              // empty when absent
  std::string_view text(uint16_t tag) const { return as_text(bytes(tag)); }
  int64_t integer(uint16_t tag, int64_t otherwise = 0) const;      // `otherwise` when absent or not 8 bytes

 private:
  friend Result<Message> decode(ByteView, uint16_t, uint16_t, uint32_t);
  uint16_t type_ = 0, version_ = 0;
  size_t size_ = 0;
  std::map<uint16_t, ByteView> fields_;
};

// The frame at the start of `bytes`, which must be of `type` and of version 1..`newest`. kCorrupt names what is wrong;
// a newer version is kUnsupported; kUnavailable means that bytes are missing at the end.
Result<Message> decode(ByteView bytes, uint16_t type, uint16_t newest, uint32_t max_payload = 1u << 20);

std::string_view status_text(Status status);

}  // namespace steppe::frame
