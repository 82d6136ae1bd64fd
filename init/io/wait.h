#pragma once

#include <coroutine>
#include <cstddef>
#include <deque>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <stop_token>
#include <utility>
#include <vector>

#include "init/base/assert.h"
#include "init/base/result.h"
#include "init/io/loop.h"
#include "init/io/task.h"

namespace steppe::io {

// How long a wait may last: until an instant, and until somebody asks to stop. The stop is requested
// on the loop's thread. Every wait has one; the default never ends by itself.
struct Deadline {
  MonoTime at{std::numeric_limits<int64_t>::max()};
  std::stop_token stop;

  static Deadline in(const Clock& clock, Duration duration, std::stop_token stop = {}) {
    return {clock.now() + duration, std::move(stop)};
  }
  bool finite() const { return at.ns != std::numeric_limits<int64_t>::max(); }
};

// One suspended coroutine that is resumed exactly once, by whichever comes first: complete(), the
// deadline (kTimeout) or the stop (kCancelled). The base of every wait below.
class Waiter {
 public:
  explicit Waiter(Loop& loop) : loop_(loop) {}
  Waiter(const Waiter&) = delete;
  ~Waiter() { STEPPE_ASSERT(!waiting_); }

  // Suspends the caller. `Arm` is called once suspended and may call complete() at once.
  // `on_leave` runs before the caller resumes after a timeout or stop: it disarms what was armed.
  Task<Result<>> wait(Deadline deadline, Work arm = {}, Work on_leave = {});

  // First call wins; later ones do nothing. The coroutine resumes from the loop, not in this call.
  void complete(Result<> result);
  bool done() const { return done_; }

 private:
  struct Suspend;
  void resume_soon();

  Loop& loop_;
  std::coroutine_handle<> handle_;
  std::optional<Result<>> result_;
  bool waiting_ = false;
  bool done_ = false;
};

// kCancelled when stopped first.
Task<Result<>> sleep_until(Loop& loop, MonoTime at, std::stop_token stop);
Task<Result<>> sleep_for(Loop& loop, Duration duration, std::stop_token stop);

// Lets everything that is ready run first.
Task<void> yield(Loop& loop);

// Ready, kTimeout or kCancelled.
Task<Result<>> wait_ready(Loop& loop, int fd, Readiness readiness, Deadline deadline);

// A flag that coroutines wait for. Loop thread only. Outlives its waiters.
class Event {
 public:
  explicit Event(Loop& loop) : loop_(loop) {}
  Event(const Event&) = delete;
  ~Event() { STEPPE_ASSERT(waiters_.empty()); }

  void set();    // wakes all; stays set until reset()
  void reset() { set_ = false; }
  void pulse();  // wakes all who wait now; leaves the flag as it is
  bool is_set() const { return set_; }
  Task<Result<>> wait(Deadline deadline = {});

 private:
  Loop& loop_;
  bool set_ = false;
  std::vector<Waiter*> waiters_;
};

// A number of places, given in the order of asking. Loop thread only. Outlives its waiters and holders.
class Permits {
 public:
  Permits(Loop& loop, size_t count) : loop_(loop), free_(count) {}
  Permits(const Permits&) = delete;
  ~Permits() { STEPPE_ASSERT(waiters_.empty()); }

  // Gives the place back when destroyed.
  class Held {
   public:
    explicit Held(Permits& from) : from_(&from) {}
    Held(Held&& other) noexcept : from_(std::exchange(other.from_, nullptr)) {}
    Held& operator=(Held&& other) noexcept {
      std::swap(from_, other.from_);
      return *this;
    }
    ~Held() { give_back(); }
    void give_back() {
      if (Permits* from = std::exchange(from_, nullptr)) from->put();
    }

   private:
    Permits* from_;
  };
  Task<Result<Held>> take(Deadline deadline = {});

 private:
  void put();

  Loop& loop_;
  size_t free_;
  std::deque<Waiter*> waiters_;
};

// A bounded queue between coroutines of one loop.
template <class T>
class Channel {
 public:
  Channel(Loop& loop, size_t capacity) : changed_(loop), capacity_(capacity) {}

  // False when full or closed: the caller decides whether to shed or to wait.
  bool try_push(T value) {
    if (closed_ || items_.size() >= capacity_) return false;
    items_.push_back(std::move(value));
    changed_.pulse();
    return true;
  }
  // kCancelled once closed and drained.
  Task<Result<T>> pop(Deadline deadline = {}) {
    while (items_.empty()) {
      if (closed_) co_return Error(Code::kCancelled, "channel closed");
      STEPPE_CO_TRY_VOID(co_await changed_.wait(deadline));
    }
    T value = std::move(items_.front());
    items_.pop_front();
    co_return value;
  }
  std::optional<T> try_pop() {
    if (items_.empty()) return std::nullopt;
    std::optional<T> value(std::move(items_.front()));
    items_.pop_front();
    return value;
  }
  void close() {
    closed_ = true;
    changed_.pulse();
  }
  size_t size() const { return items_.size(); }
  bool closed() const { return closed_; }

 private:
  Event changed_;
  size_t capacity_;
  std::deque<T> items_;
  bool closed_ = false;
};

// Runs `work` on the pool and gives its value back on the loop. Not cancelled: bounded work only.
template <class F>
auto run_blocking(Loop& loop, F work) -> Task<std::invoke_result_t<F&>> {
  using T = std::invoke_result_t<F&>;
  struct Awaiter {
    Loop& loop;
    F& work;
    std::optional<T> value;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> waiting) {
      loop.run_on_pool([this] { value.emplace(work()); }, [waiting] { waiting.resume(); });
    }
    T await_resume() { return *std::move(value); }
  };
  Awaiter awaiter{loop, work, std::nullopt};
  co_return co_await awaiter;
}

// Continues the coroutine on another loop's thread.
struct MoveTo {
  Loop& loop;
  bool await_ready() const { return loop.on_thread(); }
  void await_suspend(std::coroutine_handle<> waiting) const {
    loop.post([waiting] { waiting.resume(); });
  }
  void await_resume() const noexcept {}
};

// Runs `task` on `there` and comes back with its value to `home`, the loop of the caller.
template <class T>
Task<T> call_on(Loop& there, Loop& home, Task<T> task) {
  MoveTo go{there};
  co_await go;
  if constexpr (std::is_void_v<T>) {
    co_await std::move(task);
    MoveTo back{home};
    co_await back;
  } else {
    T value = co_await std::move(task);
    MoveTo back{home};
    co_await back;
    co_return value;
  }
}

}  // namespace steppe::io
