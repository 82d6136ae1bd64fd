#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

#include "agent/client/artifact_child.h"
#include "agent/client/exec_frames.h"
#include "agent/client/state_recovery.h"
#include "agent/client/state_store.h"
#include "agent/schema/alloc.pb.h"
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

// What decodes encodes to something that decodes to the same.
void check(ByteView bytes) {
  auto task = client::StoredTask::decode(bytes);
  if (task.ok()) {
    std::string once = task->encode();
    auto again = client::StoredTask::decode(as_bytes(once));
    if (!again.ok() || again->snapshot.events != task->snapshot.events || again->snapshot.asked != task->snapshot.asked || !client::check_record("task/a/" + task->name, once).ok()) std::abort();
  }
  auto alloc = client::decode_alloc(bytes);
  if (alloc.ok()) {
    std::string once = client::encode_alloc(**alloc);
    if (!client::decode_alloc(as_bytes(once)).ok() || !client::check_record("alloc/" + (*alloc)->id(), once).ok()) std::abort();
  }
  auto order = client::ArtifactOrder::decode(bytes);
  if (order.ok() && !client::ArtifactOrder::decode(as_bytes(order->encode())).ok()) std::abort();
}
}  // namespace

// Any bytes as a stored record, an artifact order, what the state's reader tells, an exec message or an artifact's
// answer; and as the payload of the frames among these.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ByteView bytes(reinterpret_cast<const std::byte*>(data), size);
  check(bytes);
  if (size <= 1u << 16) {
    for (uint16_t type : {frame::kClientAlloc, frame::kClientTask, frame::kArtifactRequest}) check(as_bytes(sealed(type, bytes)));
    for (const char* key : {"node", "health/x", "alloc/x", "task/x/y", "?"}) (void)client::check_record(key, as_text(bytes));
  }
  client::StateReading reading = client::decode_reading(bytes);
  size_t told = 0;
  for (const auto& [key, value] : reading.records) told += key.size() + value.size();
  if (told > size) std::abort();
  (void)client::parse_exec_input(as_text(bytes));
  (void)client::decode_answer(as_text(bytes));
  return 0;
}
