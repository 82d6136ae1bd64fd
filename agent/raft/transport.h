#pragma once

#include <string>

#include "agent/raft/types.h"

namespace steppe::raft {

// Carries bytes between members. Best effort: it may lose, repeat, delay and reorder; what it delivers
// is whole. What arrives from `from` goes to Node::receive() on the node's loop.
class Transport {
 public:
  virtual ~Transport() = default;
  // Never blocks; drops when its bounded queue for `to` is full. Loop thread.
  virtual void send(PeerId to, std::string bytes) = 0;
};

}  // namespace steppe::raft
