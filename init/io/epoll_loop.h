#pragma once

#include <memory>

#include "init/base/result.h"
#include "init/base/rng.h"
#include "init/io/loop.h"

namespace steppe::io {

// The plain backend: epoll, timerless waits by timeout, an eventfd for post() from other threads.
class EpollLoop : public Loop {
 public:
  // `pool_threads` >= 1 threads for run_on_pool, started when first needed, named "steppe-pool".
  static Result<std::unique_ptr<EpollLoop>> create(size_t pool_threads);

  // Turns until stop() is called. The calling thread becomes the loop's thread.
  virtual void run() = 0;
  // From any thread: run() returns after the current turn.
  virtual void stop() = 0;
};

// The kernel's clocks: CLOCK_BOOTTIME and CLOCK_REALTIME.
const Clock& system_clock();
// getrandom(2). Thread-safe.
Rng& system_rng();

}  // namespace steppe::io
