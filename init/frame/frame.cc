#include "init/frame/frame.h"

#include <format>

namespace steppe::frame {

Builder::Builder(uint16_t type, uint16_t version) : buffer_(kHeaderSize, '\0') {
  store_le(buffer_.data(), kMagic);
  store_le(buffer_.data() + 4, type);
  store_le(buffer_.data() + 6, version);
}

Builder& Builder::bytes(uint16_t tag, ByteView value) {
  char header[kFieldHeaderSize] = {};
  store_le(header, tag);
  store_le(header + 4, static_cast<uint32_t>(value.size()));
  buffer_.append(header, sizeof header);
  buffer_.append(as_text(value));
  return *this;
}

Builder& Builder::integer(uint16_t tag, int64_t value) { return bytes(tag, std::as_bytes(std::span(&value, 1))); }

std::string Builder::finish() {
  size_t payload = buffer_.size() - kHeaderSize;
  if (payload > kMaxPayload) return {};
  store_le(buffer_.data() + 8, static_cast<uint32_t>(payload));
  ByteView all = as_bytes(buffer_);
  store_le(buffer_.data() + 12, crc32c(all.subspan(kHeaderSize), crc32c(all.first(12))));
  return std::move(buffer_);
}

ByteView Message::bytes(uint16_t tag) const {
  auto it = fields_.find(tag);
  return it == fields_.end() ? ByteView() : it->second;
}

int64_t Message::integer(uint16_t tag, int64_t otherwise) const {
  auto it = fields_.find(tag);
  return it == fields_.end() ? otherwise : Field{tag, it->second}.integer(otherwise);
}

std::string_view status_text(Status status) {
  switch (status) {
    case Status::kOk: return "ok";
    case Status::kShort: return "bytes are missing at the end";
    case Status::kBadMagic: return "not a frame (wrong magic)";
    case Status::kTooLong: return "longer than allowed";
    case Status::kBadChecksum: return "checksum does not match";
    case Status::kBadField: return "a field is malformed";
  }
  return "unknown";
}

Result<Message> decode(ByteView bytes, uint16_t type, uint16_t newest, uint32_t max_payload) {
  View view;
  Status status = parse(bytes, max_payload, view, [](ByteView b, uint32_t seed) { return crc32c(b, seed); });
  if (status == Status::kShort) return {Code::kUnavailable, std::format("frame: {}", status_text(status))};
  if (status != Status::kOk) return {Code::kCorrupt, std::format("frame: {}", status_text(status))};
  if (view.type != type) return {Code::kCorrupt, std::format("frame: type {} where {} belongs", view.type, type)};
  if (view.version == 0 || view.version > newest) {
    return {Code::kUnsupported, std::format("frame: version {} of type {}; this program knows up to {}",
                                            view.version, type, newest)};
  }
  Message message;
  message.type_ = view.type;
  message.version_ = view.version;
  message.size_ = view.size;
  Fields fields(view.payload);
  for (Field field; fields.next(field);) {
    if (!message.fields_.emplace(field.tag, field.value).second) {
      return {Code::kCorrupt, std::format("frame: field {} is there twice", field.tag)};
    }
  }
  if (fields.damaged()) return {Code::kCorrupt, "frame: a field reaches past the end"};
  return message;
}

}  // namespace steppe::frame
