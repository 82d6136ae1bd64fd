#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <string>

#include "init/base/clock.h"
#include "init/base/result.h"
#include "init/io/disk.h"
#include "init/io/loop.h"

namespace steppe::io {

// Where the calls of a disk block: on the loop's pool, or on the loop itself. Inline saves two thread
// switches an operation; it suits a loop whose one duty is the disk, and tools. kSyncWhileQuick is the
// pool, but for write_and_sync() as long as this disk syncs faster than two thread switches are worth
// waiting for (SyncPace): a log on a good disk then commits at the disk's pace, and a slow disk never
// holds the loop up for more than one operation before all go to the pool again.
enum class DiskCalls : uint8_t { kOnPool, kInline, kSyncWhileQuick };

// Whether a disk is quick, judged by how long its syncs took. Any thread may tell, one asks.
class SyncPace {
 public:
  static constexpr Duration kQuick = std::chrono::microseconds(400);  // on average
  static constexpr Duration kStall = std::chrono::milliseconds(2);    // one of these and the pool has it again
  static constexpr uint32_t kProof = 32;                              // quick ones in a row before trust

  bool quick() const { return in_a_row_.load(std::memory_order_relaxed) >= kProof; }
  void took(Duration time);

 private:
  std::atomic<int64_t> average_ns_{0};
  std::atomic<uint32_t> in_a_row_{0};
};

// Opens (and, if missing, makes with mode 0700) the directory at an absolute path. The loop must
// outlive all that is opened below it.
Result<std::unique_ptr<Directory>> open_posix_directory(Loop& loop, const std::string& path, DiskCalls calls);

}  // namespace steppe::io
