#include <sys/random.h>

#include <cerrno>
#include <ctime>

#include "init/base/assert.h"
#include "init/io/epoll_loop.h"

namespace steppe::io {
namespace {

int64_t read_clock(clockid_t id) {
  timespec t{};
  STEPPE_ASSERT(clock_gettime(id, &t) == 0);
  return t.tv_sec * 1'000'000'000 + t.tv_nsec;
}

class SystemClock final : public Clock {
 public:
  MonoTime now() const override { return {read_clock(CLOCK_BOOTTIME)}; }
  WallTime wall() const override { return {read_clock(CLOCK_REALTIME)}; }
};

class SystemRng final : public Rng {
 public:
  uint64_t next() override {
    uint64_t word;
    fill(std::as_writable_bytes(std::span(&word, 1)));
    return word;
  }
  void fill(std::span<std::byte> out) override {
    while (!out.empty()) {
      const ssize_t count = getrandom(out.data(), out.size(), 0);
      if (count < 0 && errno == EINTR) continue;
      STEPPE_ASSERT(count > 0);
      out = out.subspan(static_cast<size_t>(count));
    }
  }
};

}  // namespace

const Clock& system_clock() {
  static const SystemClock clock;
  return clock;
}

Rng& system_rng() {
  static SystemRng rng;
  return rng;
}

}  // namespace steppe::io
