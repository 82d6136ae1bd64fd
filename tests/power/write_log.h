#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "init/base/bytes.h"
#include "init/base/result.h"

namespace steppe::power {

// One request that a guest made of its disk.
struct LoggedWrite {
  uint64_t at = 0;        // bytes from the disk's start
  ByteView bytes;         // empty for a flush and for a discard
  bool flush = false;     // what was completed before it is durable
  bool durable = false;   // FUA: this one is durable when completed
};

// The log that QEMU's `blklogwrites` leaves: the kernel's dm-log-writes format (Documentation/admin-guide/device-mapper/log-writes.rst),
// version 1, little-endian. Entries count from the file's length, as a guest that was ended leaves its super block behind the log.
// The views point into `file`, which outlives them. kCorrupt says at which entry and offset it stops making sense.
Result<std::vector<LoggedWrite>> read_write_log(ByteView file);

}  // namespace steppe::power
