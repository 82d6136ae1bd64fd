#pragma once

#include <string>

#include "init/base/clock.h"
#include "init/boot/random_seed.h"
#include "init/machine/storage/storage.h"
#include "init/sys/kernel/beneath.h"

namespace steppe::storage {

inline constexpr size_t kMaxCrashRecords = 64;
inline constexpr Bytes kMaxCrashRecord = Bytes::kib(256);
inline constexpr Bytes kMaxCrashDirectory = Bytes::mib(2);
inline constexpr Bytes kBallast = Bytes::mib(8);      // given up when a machine starts with a full state partition
inline constexpr Bytes kFullBelow = Bytes::mib(4);
inline constexpr Bytes kMaxEnds = Bytes::kib(64);     // of the list of ends

// Where things are; in tests they are elsewhere.
struct KeptPlaces {
  const kernel::Beneath& state;         // /state, a partition
  const kernel::Beneath& run;           // /run/steppe
  const kernel::Beneath* crashes;       // /sys/fs/pstore; null: this machine has none
  uint32_t machine = 0;                 // boot::machine_mark()
  std::string boot;                     // the kernel's id of this boot
};

// Takes up what the machine left on its state partition, once at each start, after it was mounted:
//   space     with less than kFullBelow free the ballast goes, then the older log; said either way
//   clock     raised to where it was last (boot/machine_clock.h)
//   the end   the record of the last one is shown, copied to `last-end` of the run directory with a first line "orderly yes", added to
//             log/ends and taken away; a start without one before is shown as an end that was not orderly ("orderly no")
//   seed      boot/random_seed.h
//   crashes   the kernel's last messages go to log/pstore, at most kMaxCrashRecords at a start; the oldest go when they are more than
//             kMaxCrashDirectory; what is safe there leaves the firmware's small store
// At last `state` in the run directory says that all of it is there (supervise/service_log.h waits for it). What fails is said and the
// next is done: none of it keeps a machine from starting.
void take_up(const KeptPlaces& places, const Clock& clock, boot::EntropyPool& pool, const Speech& speech);

}  // namespace steppe::storage
