#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "init/control/message.h"
#include "init/frame/frame.h"
#include "init/frame/frame_type.h"

// What PID 1 reads from its children and they from it: raw packets, and payloads in a frame whose checksum is right.
namespace {
using namespace steppe;

bool plain(std::string_view text) { return std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; }); }

// What was read is written as something that reads the same.
template <class Message>
void check(ByteView packet, size_t limit) {
  Message message;
  if (!control::decode(packet, message)) return;
  if (packet.size() > limit) std::abort();
  std::byte buffer[control::kMaxReply];
  Message again;
  if (!control::decode(control::encode(message, std::span(buffer).first(limit)), again) || !(again == message)) std::abort();
  if constexpr (requires { message.reason; }) {
    if (!plain(message.reason.view())) std::abort();
  } else {
    for (const control::Service& service : message.services) {
      if (!plain(service.name.view()) || !plain(service.status.view()) || !plain(service.last_end.view())) std::abort();
    }
  }
}

void check_both(ByteView packet) {
  check<control::Request>(packet, control::kMaxRequest);
  check<control::Reply>(packet, control::kMaxReply);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ByteView bytes = std::as_bytes(std::span(data, size));
  check_both(bytes);
  if (bytes.size() > control::kMaxReply) return 0;
  for (uint16_t type : {frame::kControlRequest, frame::kControlReply}) {
    std::string packet(frame::kHeaderSize, '\0');
    store_le(packet.data(), frame::kMagic);
    store_le(packet.data() + 4, type);
    store_le(packet.data() + 6, uint16_t{1});
    store_le(packet.data() + 8, static_cast<uint32_t>(bytes.size()));
    packet.append(as_text(bytes));
    ByteView all = as_bytes(packet);
    store_le(packet.data() + 12, crc32c(all.subspan(frame::kHeaderSize), crc32c(all.first(12))));
    check_both(as_bytes(packet));
  }
  return 0;
}
