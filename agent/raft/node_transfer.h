#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "agent/raft/node.h"

namespace steppe::raft {

// What members send each other, in the first byte: an engine message; a piece of a snapshot file; the
// answer to a piece. Append-only.
enum class FrameKind : uint8_t { kMessage = 0, kChunk = 1, kChunkAck = 2 };

// A piece of the file of the snapshot at `index`, sent until it is acknowledged. `transfer` tells one
// attempt from another.
struct ChunkFrame {
  uint64_t transfer = 0;
  Index index = 0;
  Term term = 0;
  uint64_t offset = 0;
  uint64_t total = 0;
  std::string bytes;
};
struct ChunkAckFrame {
  uint64_t transfer = 0;
  uint64_t next = 0;  // the offset that is wanted; total when the file is whole; kRefused
  static constexpr uint64_t kRefused = UINT64_MAX;
};
std::string encode_frame(const ChunkFrame& frame);
std::string encode_frame(const ChunkAckFrame& frame);
std::optional<ChunkFrame> decode_chunk(std::string_view bytes);
std::optional<ChunkAckFrame> decode_chunk_ack(std::string_view bytes);

inline constexpr size_t kChunkBytes = 256 << 10;
inline constexpr int kChunkAttempts = 30;
inline constexpr uint64_t kMaxSnapshotFile = uint64_t{64} << 30;
inline constexpr const char* kReceivePart = "receive.part";

// A snapshot on its way to a peer.
struct Node::Transfer {
  explicit Transfer(io::Loop& loop) : changed(loop) {}
  io::Event changed;
  uint64_t id = 0;
  uint64_t acked = 0;
  bool refused = false;
};

// A snapshot on its way from the leader, and the queue of its pieces.
struct Node::Incoming {
  explicit Incoming(io::Loop& loop) : frames(loop, 64) {}
  io::Channel<std::pair<PeerId, std::string>> frames;
  std::unique_ptr<io::File> file;
  uint64_t transfer = 0;
  PeerId from = 0;
  uint64_t received = 0;
  std::optional<SnapshotPoint> whole;  // kReceivePart holds this one, durable and checked
  bool accepted = false;               // it was given to the engine: kept until the Ready that installs it, or none
};

}  // namespace steppe::raft
