#pragma once

#include <cstdint>
#include <functional>

#include "init/base/clock.h"
#include "init/base/result.h"

namespace steppe::io {

using Work = std::move_only_function<void()>;

enum class Readiness : uint8_t { kReadable, kWritable };

// One thread that runs callbacks one after another; the clock that its timers obey. Backends: epoll
// (init/io/epoll_loop.h), Asio (agent/), simulated (tests/sim). All members are for the loop's own
// thread, except post(), now(), wall() and on_thread(), which any thread may call.
class Loop : public Clock {
 public:
  using TimerId = uint64_t;
  using WatchId = uint64_t;

  // Runs `work` on the loop's thread, after what was posted before it, never inside this call.
  virtual void post(Work work) = 0;

  // Runs `work` once when now() >= at. cancel_timer on a timer that ran or was cancelled does
  // nothing. Timers of one instant run in the order of their start.
  virtual TimerId start_timer(MonoTime at, Work work) = 0;
  virtual void cancel_timer(TimerId id) = 0;

  // Runs `work` once when the descriptor is ready (or has an error, which the next call on it
  // shows). The descriptor stays the caller's and must stay open until then or unwatch().
  // At most one watch per descriptor and direction. kUnsupported in simulation.
  virtual Result<WatchId> watch(int fd, Readiness readiness, Work work) = 0;
  virtual void unwatch(WatchId id) = 0;

  // Runs `work` on a thread of a small pool (in simulation: on the loop at a later instant), then
  // `done` on the loop. `work` may block, for a bounded time; it may not touch the loop.
  virtual void run_on_pool(Work work, Work done) = 0;

  virtual bool on_thread() const = 0;
};

}  // namespace steppe::io
