#pragma once

#include <cstdint>
#include <string>

#include "init/base/bytes.h"
#include "init/base/clock.h"
#include "init/base/result.h"

namespace steppe::drivers {

// Names a started task so that a later agent finds it again. Stored by the client; a versioned, checksummed frame
// (init/frame) whose fields are only ever added.
struct TaskHandle {
  std::string driver;        // "exec"
  std::string id;            // TaskConfig::id
  std::string run_dir;       // the driver's directory of this attempt
  std::string cgroup;        // path below the cgroup v2 mount; empty: none
  int32_t executor_pid = 0;  // for people; never used to signal
  int32_t task_pid = 0;
  WallTime started_at;
  std::string data;          // the driver's own

  std::string encode() const;
  static Result<TaskHandle> decode(ByteView bytes);  // kCorrupt, or kUnsupported for a version from the future
  friend bool operator==(const TaskHandle&, const TaskHandle&) = default;
};

}  // namespace steppe::drivers
