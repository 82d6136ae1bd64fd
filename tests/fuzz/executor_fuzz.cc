#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

#include "drivers/api/task_handle.h"
#include "drivers/executor/connection.h"
#include "drivers/executor/host.h"
#include "drivers/executor/program/control.h"
#include "drivers/executor/session.h"
#include "init/frame/frame.h"

namespace {
using namespace steppe;

// A frame of `type` and version 1 around any payload, with the right checksum: chance never finds one.
std::string sealed(uint16_t type, ByteView payload) {
  std::string out(frame::kHeaderSize + payload.size(), '\0');
  store_le(out.data(), frame::kMagic);
  store_le(out.data() + 4, type);
  store_le(out.data() + 6, uint16_t{1});
  store_le(out.data() + 8, static_cast<uint32_t>(payload.size()));
  if (!payload.empty()) std::memcpy(out.data() + frame::kHeaderSize, payload.data(), payload.size());
  ByteView all = as_bytes(out);
  store_le(out.data() + 12, crc32c(all.subspan(frame::kHeaderSize), crc32c(all.first(12))));
  return out;
}

// What the executor takes for a request is one that it can carry out.
void check_request(ByteView bytes) {
  executor::Request request;
  if (!executor::decode_request(bytes, request)) return;
  if (request.signal < 0 || request.signal > 64 || request.grace_ms < 0) std::abort();
  if (bytes.size() > executor::kMaxPacket + frame::kHeaderSize) std::abort();
}

void check_agent_side(ByteView bytes) {
  auto reply = executor::decode_reply(bytes);
  if (reply.ok() && !reply->fds.empty()) std::abort();
  auto exit = executor::decode_exit_record(bytes);
  if (exit.ok() && exit->signal != 0 && exit->code != 128 + exit->signal) std::abort();
  auto profile = executor::Profile::decode(bytes);
  if (profile.ok() && !executor::Profile::decode(as_bytes(profile->encode())).ok()) std::abort();
  auto handle = drivers::TaskHandle::decode(bytes);
  if (handle.ok()) {
    auto again = drivers::TaskHandle::decode(as_bytes(handle->encode()));
    if (!again.ok() || !(*again == *handle)) std::abort();
  }
}
}  // namespace

// Any bytes, as they are and as the payload of each frame that executor and agent give each other.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ByteView bytes(reinterpret_cast<const std::byte*>(data), size);
  check_request(bytes);
  check_agent_side(bytes);
  if (size > 1u << 16) return 0;
  check_request(as_bytes(sealed(frame::kExecutorRequest, bytes)));
  for (uint16_t type : {frame::kExecutorReply, frame::kExitRecord, frame::kTaskProfile, frame::kTaskHandle}) check_agent_side(as_bytes(sealed(type, bytes)));
  return 0;
}
