#pragma once

#include <map>
#include <unordered_map>

#include "init/base/rng.h"
#include "init/io/loop.h"

namespace steppe::sim {

// A loop whose time passes only when there is nothing to do. All chance comes from its Rng: the same
// seed gives the same run.
class SimLoop final : public io::Loop {
 public:
  explicit SimLoop(Rng& rng) : rng_(rng) {}

  MonoTime now() const override { return now_; }
  WallTime wall() const override { return {1'700'000'000'000'000'000 + now_.ns}; }
  void post(io::Work work) override { add(now_, std::move(work)); }
  TimerId start_timer(MonoTime at, io::Work work) override { return add(std::max(at, now_), std::move(work)); }
  void cancel_timer(TimerId id) override;
  Result<WatchId> watch(int, io::Readiness, io::Work) override { return Error(Code::kUnsupported, "no descriptors in simulation"); }
  void unwatch(WatchId) override {}
  void run_on_pool(io::Work work, io::Work done) override;
  bool on_thread() const override { return true; }

  Rng& rng() { return rng_; }
  // Runs the next thing, moving time forward to it. False when there is none.
  bool turn();
  void run_for(Duration duration);
  // Turns until `done` or `limit` has passed; whether it was done.
  bool run_until(const std::function<bool()>& done, Duration limit);
  uint64_t turns() const { return turns_; }

 private:
  TimerId add(MonoTime at, io::Work work);
  using Key = std::pair<MonoTime, uint64_t>;
  Rng& rng_;
  MonoTime now_{1'000'000'000};
  uint64_t order_ = 0;
  uint64_t turns_ = 0;
  std::map<Key, io::Work> queue_;
  std::unordered_map<TimerId, MonoTime> times_;
};

}  // namespace steppe::sim
