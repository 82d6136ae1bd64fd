#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agent/raft/types.h"
#include "init/base/bytes.h"
#include "init/base/result.h"

namespace steppe::raft {

// As numbered in the engine's wire format (protobuf, read by N-1).
enum class MessageType : uint8_t {
  kHup, kBeat, kPropose, kAppend, kAppendResponse, kRequestVote, kRequestVoteResponse, kSnapshot, kHeartbeat,
  kHeartbeatResponse, kUnreachable, kSnapStatus, kCheckQuorum, kTransferLeader, kTimeoutNow, kReadIndex,
  kReadIndexResponse, kRequestPreVote, kRequestPreVoteResponse,
};

// A message between members taken apart: for logs, tests and tools. The engine itself passes bytes.
struct Message {
  MessageType type = MessageType::kHup;
  PeerId to = 0;
  PeerId from = 0;
  Term term = 0;
  Term log_term = 0;
  Index index = 0;
  Index commit = 0;
  Term commit_term = 0;
  Index request_snapshot = 0;
  Index reject_hint = 0;
  bool reject = false;
  std::string context;
  std::vector<Entry> entries;
  SnapshotPoint snapshot;
};

std::string encode_message(const Message& message);
Result<Message> decode_message(ByteView bytes);  // kInvalid

}  // namespace steppe::raft
