#include "tests/sim/sim_loop.h"

namespace steppe::sim {

io::Loop::TimerId SimLoop::add(MonoTime at, io::Work work) {
  const TimerId id = ++order_;
  queue_.emplace(Key{at, id}, std::move(work));
  times_.emplace(id, at);
  return id;
}

void SimLoop::cancel_timer(TimerId id) {
  const auto found = times_.find(id);
  if (found == times_.end()) return;
  queue_.erase(Key{found->second, id});
  times_.erase(found);
}

void SimLoop::run_on_pool(io::Work work, io::Work done) {
  const Duration delay = std::chrono::microseconds(1 + rng_.below(200));
  start_timer(now_ + delay, [this, work = std::move(work), done = std::move(done)]() mutable {
    work();
    post(std::move(done));
  });
}

bool SimLoop::turn() {
  if (queue_.empty()) return false;
  auto next = queue_.extract(queue_.begin());
  times_.erase(next.key().second);
  now_ = next.key().first;
  ++turns_;
  next.mapped()();
  return true;
}

void SimLoop::run_for(Duration duration) {
  const MonoTime until = now_ + duration;
  while (!queue_.empty() && queue_.begin()->first.first <= until) turn();
  now_ = until;
}

bool SimLoop::run_until(const std::function<bool()>& done, Duration limit) {
  const MonoTime until = now_ + limit;
  while (!done()) {
    if (queue_.empty() || queue_.begin()->first.first > until) return false;
    turn();
  }
  return true;
}

}  // namespace steppe::sim
