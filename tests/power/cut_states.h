#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "init/base/bytes.h"
#include "tests/power/write_log.h"

namespace steppe::power {

// The moment of a cut and what of the unflushed writes reached the medium: a pure function of the log, a seed and a number.
struct Cut {
  size_t after = 0;     // requests of the log that were made
  uint64_t choice = 0;  // 0: all of them are there; else the seed of a random subset of the unflushed ones
};

enum class Cache : uint8_t { kVolatile, kNeverFlushed };  // the second is the mutant: a disk that forgets flushes

// All cuts that are looked at: one after each request with everything before it, then random subsets, spread evenly over the moments
// that have unflushed writes, until there are `count`.
std::vector<Cut> cuts_of(const std::vector<LoggedWrite>& log, size_t count, uint64_t seed, Cache cache);

// A disk whose bytes are those after a cut. Moves forward through cuts ordered by `after`; the subset is laid over and taken back.
class CutDisk {
 public:
  // `bytes` is the disk before the first request; it is changed in place.
  CutDisk(ByteSpan bytes, const std::vector<LoggedWrite>& log, Cache cache) : bytes_(bytes), log_(&log), cache_(cache) {}

  // Brings the disk into the state of `cut`; calls `look` with it; returns a hash of what was chosen, so that equal states are
  // counted once. Requires cut.after >= the one before. kInvalid when a write lies outside the disk.
  Result<uint64_t> at(const Cut& cut, const std::function<void(ByteView)>& look);

 private:
  Result<> apply(const LoggedWrite& write);
  // The requests before `after` that no flush covers.
  std::vector<size_t> unflushed(size_t after) const;

  ByteSpan bytes_;
  const std::vector<LoggedWrite>* log_;
  Cache cache_;
  size_t durable_ = 0;  // requests before this one are in bytes_
};

}  // namespace steppe::power
