#include "init/io/scope.h"

#include <memory>

#include "init/base/assert.h"

namespace steppe::io {

// A coroutine that owns itself.
struct Scope::Root {
  struct promise_type {
    Root get_return_object() const noexcept { return {}; }
    std::suspend_never initial_suspend() const noexcept { return {}; }
    std::suspend_never final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    [[noreturn]] void unhandled_exception() const noexcept { assertion_failed("exception left a task"); }
  };
};

Scope::~Scope() { STEPPE_ASSERT(running_ == 0); }

Scope::Root Scope::run(Scope& scope, Task<void> task) {
  co_await std::move(task);
  if (--scope.running_ == 0) scope.idle_.pulse();
}

void Scope::spawn(Task<void> task) {
  ++running_;
  loop_.post([this, task = std::move(task)]() mutable { run(*this, std::move(task)); });
}

Task<void> Scope::join() {
  while (running_ > 0) {
    Deadline forever;
    static_cast<void>(co_await idle_.wait(std::move(forever)));
  }
}

void start_root(Loop& loop, Task<void> task, Work done) {
  auto scope = std::make_shared<Scope>(loop);
  struct Finish {
    static Task<void> run(Task<void> task, Work done, Loop& loop, std::shared_ptr<Scope> scope) {
      co_await std::move(task);
      // The scope dies after its last task is counted out.
      loop.post([scope = std::move(scope), done = std::move(done)]() mutable { done(); });
    }
  };
  Scope& owner = *scope;
  owner.spawn(Finish::run(std::move(task), std::move(done), loop, std::move(scope)));
}

}  // namespace steppe::io
