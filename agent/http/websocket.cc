#include "agent/http/websocket.h"

#include <openssl/evp.h>

#include <format>

#include "init/base/assert.h"
#include "init/base/text.h"

namespace steppe::http {

namespace {

constexpr uint8_t kContinuation = 0, kText = 1, kBinary = 2, kClose = 8, kPing = 9, kPong = 10;
constexpr size_t kLongestControl = 125;

uint64_t big_endian(const char* bytes, size_t count) {
  uint64_t value = 0;
  for (size_t i = 0; i < count; ++i) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

void append_big_endian(std::string& out, uint64_t value, size_t count) {
  for (size_t i = count; i-- > 0;) out.push_back(static_cast<char>(value >> (8 * i)));
}

}  // namespace

std::string websocket_accept_key(std::string_view key) {
  std::string text(key);
  text.append("258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  STEPPE_ASSERT(EVP_Digest(text.data(), text.size(), digest, &size, EVP_sha1(), nullptr) == 1);
  return base64(std::as_bytes(std::span(digest, size)));
}

WebSocket::WebSocket(std::unique_ptr<io::Stream> stream, Side side, Rng& rng, Bytes limit, std::string early)
    : stream_(std::move(stream)), side_(side), rng_(rng), limit_(limit), buffer_(std::move(early)) {}

io::Task<Result<>> WebSocket::read_into(char* to, size_t size, io::Deadline deadline) {
  const size_t early = std::min(size, buffer_.size());
  std::copy_n(buffer_.data(), early, to);
  buffer_.erase(0, early);
  co_return co_await io::read_exactly(*stream_, std::as_writable_bytes(std::span(to + early, size - early)), deadline);
}

io::Task<Result<WebSocket::Frame>> WebSocket::read_frame(io::Deadline deadline) {
  char head[8];
  STEPPE_CO_TRY_VOID(co_await read_into(head, 2, deadline));
  Frame frame;
  frame.final = head[0] & 0x80;
  frame.opcode = head[0] & 0x0f;
  if (head[0] & 0x70) co_return Error(Code::kInvalid, "WebSocket frame with reserved bits");
  const bool masked = head[1] & 0x80;
  if (masked != (side_ == Side::kServer)) co_return Error(Code::kInvalid, "WebSocket frame with the wrong masking for its side");
  uint64_t size = head[1] & 0x7f;
  if (size >= 126) {
    const size_t extra = size == 126 ? 2 : 8;
    STEPPE_CO_TRY_VOID(co_await read_into(head, extra, deadline));
    size = big_endian(head, extra);
  }
  if (frame.opcode >= kClose && (size > kLongestControl || !frame.final)) co_return Error(Code::kInvalid, "fragmented or long WebSocket control frame");
  if (size > limit_.count || message_.size() + size > limit_.count) co_return Error(Code::kExhausted, "WebSocket message too large");
  char mask[4] = {};
  if (masked) STEPPE_CO_TRY_VOID(co_await read_into(mask, 4, deadline));
  frame.payload.resize(size);
  STEPPE_CO_TRY_VOID(co_await read_into(frame.payload.data(), size, deadline));
  if (masked) {
    for (size_t i = 0; i < frame.payload.size(); ++i) frame.payload[i] = static_cast<char>(frame.payload[i] ^ mask[i % 4]);
  }
  co_return frame;
}

Result<bool> WebSocket::join(Frame frame) {
  if (frame.opcode == kContinuation) {
    if (!in_message_) return Error(Code::kInvalid, "WebSocket continuation without a beginning");
  } else if (frame.opcode == kText || frame.opcode == kBinary) {
    if (in_message_) return Error(Code::kInvalid, "WebSocket message inside a message");
    in_message_ = true;
  } else {
    return Error(Code::kInvalid, std::format("unknown WebSocket opcode {}", frame.opcode));
  }
  message_.append(frame.payload);
  if (frame.final) in_message_ = false;
  return frame.final;
}

io::Task<Result<WebSocket::Message>> WebSocket::receive(io::Deadline deadline) {
  while (true) {
    STEPPE_CO_TRY(Frame frame, co_await read_frame(deadline));
    if (frame.opcode == kPong) continue;
    if (frame.opcode == kPing) {
      if (!close_sent_) STEPPE_CO_TRY_VOID(co_await write_frame(kPong, std::move(frame.payload), deadline));
      continue;
    }
    if (frame.opcode == kClose) {
      Message message;
      message.closed = true;
      if (frame.payload.size() >= 2) {
        message.code = static_cast<uint16_t>(big_endian(frame.payload.data(), 2));
        message.text = frame.payload.substr(2);
      }
      if (!close_sent_) static_cast<void>(co_await close(message.code == 1005 ? 1000 : message.code, "", deadline));
      co_return message;
    }
    STEPPE_CO_TRY(const bool complete, join(std::move(frame)));
    if (complete) {
      Message message;
      message.text = std::exchange(message_, {});
      co_return message;
    }
  }
}

io::Task<Result<>> WebSocket::write_frame(uint8_t opcode, std::string payload, io::Deadline deadline) {
  std::string frame;
  frame.reserve(payload.size() + 14);
  frame.push_back(static_cast<char>(0x80 | opcode));
  const char mask_bit = side_ == Side::kClient ? static_cast<char>(0x80) : 0;
  if (payload.size() < 126) {
    frame.push_back(static_cast<char>(mask_bit | static_cast<char>(payload.size())));
  } else if (payload.size() < 65536) {
    frame.push_back(static_cast<char>(mask_bit | 126));
    append_big_endian(frame, payload.size(), 2);
  } else {
    frame.push_back(static_cast<char>(mask_bit | 127));
    append_big_endian(frame, payload.size(), 8);
  }
  if (side_ == Side::kClient) {
    char mask[4];
    rng_.fill(std::as_writable_bytes(std::span(mask)));
    frame.append(mask, 4);
    for (size_t i = 0; i < payload.size(); ++i) payload[i] = static_cast<char>(payload[i] ^ mask[i % 4]);
  }
  frame.append(payload);
  pending_.append(frame);
  if (writing_) co_return Result<>();  // whoever writes now sends it behind its own
  writing_ = true;
  Result<> sent;
  while (sent.ok() && !pending_.empty()) {
    const std::string bytes = std::exchange(pending_, {});
    sent = co_await stream_->write(as_bytes(bytes), deadline);
  }
  writing_ = false;
  co_return sent;
}

io::Task<Result<>> WebSocket::send_text(std::string text, io::Deadline deadline) {
  if (close_sent_) co_return Error(Code::kCancelled, "WebSocket is closed");
  co_return co_await write_frame(kText, std::move(text), deadline);
}

io::Task<Result<>> WebSocket::close(uint16_t code, std::string reason, io::Deadline deadline) {
  if (close_sent_) co_return Result<>();
  close_sent_ = true;
  std::string payload;
  append_big_endian(payload, code, 2);
  reason.resize(std::min(reason.size(), kLongestControl - 2));
  while (!is_utf8(reason)) reason.pop_back();
  payload.append(reason);
  co_return co_await write_frame(kClose, std::move(payload), deadline);
}

}  // namespace steppe::http
