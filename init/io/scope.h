#pragma once

#include <cstddef>
#include <stop_token>

#include "init/io/loop.h"
#include "init/io/task.h"
#include "init/io/wait.h"

namespace steppe::io {

// Owns coroutines that run beside their owner: none outlives the scope. Loop thread only.
//
//   Scope scope(loop);
//   scope.spawn(serve(listener, scope.token()));
//   ...
//   scope.request_stop();
//   co_await scope.join();     // required before the destructor
class Scope {
 public:
  explicit Scope(Loop& loop) : loop_(loop), idle_(loop) {}
  Scope(const Scope&) = delete;
  ~Scope();

  // Starts the task from the loop, not inside this call. After request_stop() tasks still start:
  // they see a stopped token.
  void spawn(Task<void> task);

  std::stop_token token() const { return stop_.get_token(); }
  void request_stop() { stop_.request_stop(); }
  // Returns when no task is left. New ones may be spawned while it waits.
  Task<void> join();
  size_t running() const { return running_; }

 private:
  struct Root;
  static Root run(Scope& scope, Task<void> task);

  Loop& loop_;
  std::stop_source stop_;
  size_t running_ = 0;
  Event idle_;
};

// Runs `task` to its end on `loop`, which somebody else turns; `done` is called on the loop.
// For the outermost task of a thread only: everything else lives in a Scope.
void start_root(Loop& loop, Task<void> task, Work done);

}  // namespace steppe::io
