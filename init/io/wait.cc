#include "init/io/wait.h"

#include <algorithm>

namespace steppe::io {

struct Waiter::Suspend {
  Waiter& waiter;
  Work& arm;
  bool await_ready() const { return waiter.done_; }
  void await_suspend(std::coroutine_handle<> waiting) {
    waiter.handle_ = waiting;
    waiter.waiting_ = true;
    if (arm) arm();
  }
  void await_resume() const {}
};

Task<Result<>> Waiter::wait(Deadline deadline, Work arm, Work on_leave) {
  if (deadline.stop.stop_requested()) co_return Error(Code::kCancelled, "stopped");
  Loop::TimerId timer = 0;
  if (deadline.finite()) {
    timer = loop_.start_timer(deadline.at, [this] { complete(Error(Code::kTimeout, "deadline passed")); });
  }
  {
    const std::stop_callback stopped(deadline.stop, [this] { complete(Error(Code::kCancelled, "stopped")); });
    Suspend suspend{*this, arm};
    co_await suspend;
  }
  waiting_ = false;
  if (timer != 0) loop_.cancel_timer(timer);
  if (on_leave && !result_->ok()) on_leave();
  co_return *std::move(result_);
}

void Waiter::complete(Result<> result) {
  if (done_) return;
  done_ = true;
  result_ = std::move(result);
  if (waiting_) resume_soon();
}

void Waiter::resume_soon() {
  loop_.post([handle = handle_] { handle.resume(); });
}

Task<Result<>> sleep_until(Loop& loop, MonoTime at, std::stop_token stop) {
  Waiter waiter(loop);
  Deadline deadline{at, std::move(stop)};
  Result<> result = co_await waiter.wait(std::move(deadline));
  if (!result.ok() && result.error().code() == Code::kTimeout) co_return Result<>();
  co_return result;
}

Task<Result<>> sleep_for(Loop& loop, Duration duration, std::stop_token stop) {
  return sleep_until(loop, loop.now() + duration, std::move(stop));
}

Task<void> yield(Loop& loop) {
  Waiter waiter(loop);
  Work arm = [&waiter] { waiter.complete({}); };
  Deadline forever;
  static_cast<void>(co_await waiter.wait(std::move(forever), std::move(arm)));
}

Task<Result<>> wait_ready(Loop& loop, int fd, Readiness readiness, Deadline deadline) {
  Waiter waiter(loop);
  Loop::WatchId id = 0;
  Work arm = [&] {
    auto watch = loop.watch(fd, readiness, [&waiter] { waiter.complete({}); });
    if (watch.ok()) {
      id = *watch;
    } else {
      waiter.complete(std::move(watch).error());
    }
  };
  Work leave = [&] {
    if (id != 0) loop.unwatch(id);
  };
  co_return co_await waiter.wait(std::move(deadline), std::move(arm), std::move(leave));
}

void Event::set() {
  set_ = true;
  pulse();
}

void Event::pulse() {
  for (Waiter* waiter : std::exchange(waiters_, {})) waiter->complete({});
}

Task<Result<>> Event::wait(Deadline deadline) {
  if (set_) co_return Result<>();
  Waiter waiter(loop_);
  Work arm = [&] { waiters_.push_back(&waiter); };
  Work leave = [&] { std::erase(waiters_, &waiter); };
  co_return co_await waiter.wait(std::move(deadline), std::move(arm), std::move(leave));
}

Task<Result<Permits::Held>> Permits::take(Deadline deadline) {
  if (free_ > 0) {
    --free_;
    co_return Held(*this);
  }
  Waiter waiter(loop_);
  Work arm = [&] { waiters_.push_back(&waiter); };
  Work leave = [&] { std::erase(waiters_, &waiter); };
  STEPPE_CO_TRY_VOID(co_await waiter.wait(std::move(deadline), std::move(arm), std::move(leave)));
  co_return Held(*this);  // put() handed its place over
}

void Permits::put() {
  while (!waiters_.empty()) {
    Waiter* next = waiters_.front();
    waiters_.pop_front();
    // One that was stopped in this very turn leaves without it.
    if (next->done()) continue;
    next->complete({});
    return;
  }
  ++free_;
}

}  // namespace steppe::io
