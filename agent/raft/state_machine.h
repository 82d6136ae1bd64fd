#pragma once

#include <memory>
#include <span>

#include "agent/raft/snapshot.h"
#include "agent/raft/types.h"
#include "init/base/result.h"
#include "init/io/task.h"

namespace steppe::raft {

// What the log drives. All members are called on the node's loop thread, in log order.
class StateMachine {
 public:
  virtual ~StateMachine() = default;
  // Committed entries with data, each exactly once since the last restore(), never out of order. Gaps in
  // the indexes are entries without data for the machine. Must not fail: what it refuses it refuses on
  // every member alike.
  virtual void apply(std::span<const Entry> committed) = 0;
  // A consistent image as of the last apply(), cheap to take; read in pieces while later entries apply.
  virtual std::unique_ptr<SnapshotSource> capture() = 0;
  // Replaces everything. On an error the node stops.
  virtual io::Task<Result<>> restore(SnapshotSource& image) = 0;
};

}  // namespace steppe::raft
