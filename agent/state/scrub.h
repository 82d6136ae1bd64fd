#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "agent/state/snapshot.h"
#include "init/base/result.h"

namespace steppe::state {

// The background check for flipped bits: goes over all rows of one snapshot in small steps, computes each row's digest
// anew, compares it with the one that the row was stored with, and looks the row up through its indexes. At the end the
// sums must be those that apply kept. Any one thread; make a new one, with a new snapshot, for the next pass.
class Scrub {
 public:
  explicit Scrub(Snapshot snapshot);
  ~Scrub();
  Scrub(const Scrub&) = delete;
  Scrub& operator=(const Scrub&) = delete;

  // Checks up to `rows` rows. True: the pass is over and all is well. kCorrupt names the table and the row: this
  // server's memory cannot be trusted, it should restart and restore.
  Result<bool> step(size_t rows);
  uint64_t checked() const;

 private:
  struct Progress;
  std::unique_ptr<Progress> progress_;
};

}  // namespace steppe::state
