#include "init/io/epoll_loop.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

#include "init/base/assert.h"

namespace steppe::io {
namespace {

// Threads for blocking calls. Work that is queued when the pool is destroyed still runs.
class Pool {
 public:
  explicit Pool(size_t threads) : limit_(threads) {}
  ~Pool() {
    {
      const std::lock_guard lock(mutex_);
      closing_ = true;
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  void submit(Work work) {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(work));
    if (idle_ < queue_.size() && threads_.size() < limit_) {
      threads_.emplace_back([this] { serve(); });
    }
    wake_.notify_one();
  }

 private:
  void serve() {
    pthread_setname_np(pthread_self(), "steppe-pool");
    std::unique_lock lock(mutex_);
    while (true) {
      ++idle_;
      wake_.wait(lock, [this] { return closing_ || !queue_.empty(); });
      --idle_;
      if (queue_.empty()) return;
      Work work = std::move(queue_.front());
      queue_.pop_front();
      lock.unlock();
      work();
      work = {};
      lock.lock();
    }
  }

  const size_t limit_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Work> queue_;
  std::vector<std::thread> threads_;
  size_t idle_ = 0;
  bool closing_ = false;
};

class Epoll final : public EpollLoop {
 public:
  Epoll(int epoll, int event, size_t pool_threads) : epoll_(epoll), event_(event), pool_(std::make_unique<Pool>(pool_threads)) {}

  ~Epoll() override {
    pool_.reset();  // its last callbacks are posted to us and dropped
    close(event_);
    close(epoll_);
  }

  MonoTime now() const override { return system_clock().now(); }
  WallTime wall() const override { return system_clock().wall(); }
  bool on_thread() const override { return thread_.load(std::memory_order_acquire) == std::this_thread::get_id(); }

  void post(Work work) override {
    bool wake = false;
    {
      const std::lock_guard lock(mutex_);
      wake = posted_.empty() && !on_thread();
      posted_.push_back(std::move(work));
    }
    if (wake) signal_event();
  }

  TimerId start_timer(MonoTime at, Work work) override {
    const TimerId id = ++last_id_;
    timers_.emplace(std::pair(at.ns, id), std::move(work));
    timer_at_.emplace(id, at.ns);
    return id;
  }

  void cancel_timer(TimerId id) override {
    const auto at = timer_at_.find(id);
    if (at == timer_at_.end()) return;
    timers_.erase({at->second, id});
    timer_at_.erase(at);
  }

  Result<WatchId> watch(int fd, Readiness readiness, Work work) override {
    Watched& watched = watched_[fd];
    Slot& slot = readiness == Readiness::kReadable ? watched.read : watched.write;
    STEPPE_ASSERT(slot.id == 0);
    slot.id = ++last_id_;
    slot.work = std::move(work);
    const WatchId id = slot.id;
    if (Result<> updated = update(fd, watched); !updated.ok()) {
      slot = {};
      if (watched.read.id == 0 && watched.write.id == 0) watched_.erase(fd);
      return std::move(updated).error();
    }
    watch_fd_.emplace(id, fd);
    return id;
  }

  void unwatch(WatchId id) override {
    const auto found = watch_fd_.find(id);
    if (found == watch_fd_.end()) return;
    const int fd = found->second;
    watch_fd_.erase(found);
    Watched& watched = watched_.at(fd);
    (watched.read.id == id ? watched.read : watched.write) = {};
    static_cast<void>(update(fd, watched));
    if (watched.read.id == 0 && watched.write.id == 0) watched_.erase(fd);
  }

  void run_on_pool(Work work, Work done) override {
    pool_->submit([this, work = std::move(work), done = std::move(done)]() mutable {
      work();
      post(std::move(done));
    });
  }

  void run() override {
    thread_.store(std::this_thread::get_id(), std::memory_order_release);
    while (!stopping_.exchange(false)) turn();
    thread_.store({}, std::memory_order_release);
  }

  void stop() override {
    stopping_.store(true);
    signal_event();
  }

 private:
  struct Slot {
    WatchId id = 0;
    Work work;
  };
  struct Watched {
    Slot read, write;
    bool registered = false;
  };

  void signal_event() const {
    const uint64_t one = 1;
    static_cast<void>(!write(event_, &one, sizeof one));
  }

  // EPOLLONESHOT would need a re-arm for the other direction anyway: the set is rewritten instead.
  Result<> update(int fd, Watched& watched) const {
    epoll_event event{};
    event.data.fd = fd;
    event.events = (watched.read.id ? EPOLLIN | EPOLLRDHUP : 0u) | (watched.write.id ? EPOLLOUT : 0u);
    int op = EPOLL_CTL_MOD;
    if (event.events == 0) {
      if (!watched.registered) return {};
      op = EPOLL_CTL_DEL;
    } else if (!watched.registered) {
      op = EPOLL_CTL_ADD;
    }
    if (epoll_ctl(epoll_, op, fd, &event) != 0 && !(op == EPOLL_CTL_DEL && (errno == EBADF || errno == ENOENT))) {
      return Error::from_errno(errno, "epoll_ctl");
    }
    watched.registered = op != EPOLL_CTL_DEL;
    return {};
  }

  int timeout_ms() const {
    {
      const std::lock_guard lock(mutex_);
      if (!posted_.empty()) return 0;
    }
    if (timers_.empty()) return -1;
    const int64_t left = timers_.begin()->first.first - now().ns;
    if (left <= 0) return 0;
    return static_cast<int>(std::min<int64_t>((left + 999'999) / 1'000'000, 60'000));
  }

  void turn() {
    epoll_event events[64];
    const int count = epoll_wait(epoll_, events, 64, timeout_ms());
    STEPPE_ASSERT(count >= 0 || errno == EINTR);
    for (int i = 0; i < count; ++i) {
      if (events[i].data.fd == event_) {
        uint64_t drained;
        static_cast<void>(!read(event_, &drained, sizeof drained));
      } else {
        dispatch(events[i].data.fd, events[i].events);
      }
    }
    run_timers();
    run_posted();
  }

  void dispatch(int fd, uint32_t events) {
    const auto found = watched_.find(fd);
    if (found == watched_.end()) return;
    Work reader, writer;
    const bool broken = events & (EPOLLERR | EPOLLHUP);
    if ((events & (EPOLLIN | EPOLLRDHUP) || broken) && found->second.read.id != 0) reader = take(found->second.read);
    if ((events & EPOLLOUT || broken) && found->second.write.id != 0) writer = take(found->second.write);
    static_cast<void>(update(fd, found->second));
    if (found->second.read.id == 0 && found->second.write.id == 0) watched_.erase(found);
    if (reader) reader();
    if (writer) writer();
  }

  Work take(Slot& slot) {
    watch_fd_.erase(slot.id);
    return std::exchange(slot, {}).work;
  }

  void run_timers() {
    const int64_t due = now().ns;
    while (!timers_.empty() && timers_.begin()->first.first <= due) {
      const auto first = timers_.begin();
      Work work = std::move(first->second);
      timer_at_.erase(first->first.second);
      timers_.erase(first);
      work();
    }
  }

  // Only what is there now: work that posts work lets descriptors and timers have their turn.
  void run_posted() {
    std::deque<Work> batch;
    {
      const std::lock_guard lock(mutex_);
      batch.swap(posted_);
    }
    for (Work& work : batch) {
      work();
      work = {};
    }
  }

  const int epoll_;
  const int event_;
  std::atomic<std::thread::id> thread_;
  std::atomic<bool> stopping_ = false;
  uint64_t last_id_ = 0;
  std::map<std::pair<int64_t, TimerId>, Work> timers_;
  std::unordered_map<TimerId, int64_t> timer_at_;
  std::unordered_map<int, Watched> watched_;
  std::unordered_map<WatchId, int> watch_fd_;
  mutable std::mutex mutex_;
  std::deque<Work> posted_;  // guarded by mutex_
  std::unique_ptr<Pool> pool_;
};

}  // namespace

Result<std::unique_ptr<EpollLoop>> EpollLoop::create(size_t pool_threads) {
  STEPPE_ASSERT(pool_threads >= 1);
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0) return Error::from_errno(errno, "epoll_create1");
  const int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (event < 0) {
    const int number = errno;
    close(epoll);
    return Error::from_errno(number, "eventfd");
  }
  epoll_event interest{};
  interest.events = EPOLLIN;
  interest.data.fd = event;
  STEPPE_ASSERT(epoll_ctl(epoll, EPOLL_CTL_ADD, event, &interest) == 0);
  return std::unique_ptr<EpollLoop>(std::make_unique<Epoll>(epoll, event, pool_threads));
}

}  // namespace steppe::io
