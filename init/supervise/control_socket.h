#pragma once

#include <sys/types.h>

#include <array>
#include <functional>
#include <string>
#include <string_view>

#include "init/base/clock.h"
#include "init/base/result.h"
#include "init/control/message.h"
#include "init/sys/kernel/fd.h"

namespace steppe::supervise {

// PID 1's end of init/control. One request a connection; at most kMaxWaiting connections that have not said theirs yet, each for at
// most kPatience: what comes after pushes the oldest one out. Nothing here waits: an asker that does not take its answer
// goes without. Used by one thread.
class ControlSocket {
 public:
  static constexpr size_t kMaxWaiting = 8;
  static constexpr Duration kPatience = std::chrono::seconds(5);
  static constexpr int kMaxAtOnce = 16;  // connections that one call takes

  // Whether a process may ask; root is required besides.
  using Allowed = std::function<bool(pid_t)>;
  using Answer = std::function<void(const control::Request&, control::Reply&)>;

  // At `path`, mode 0600, in place of what lies there. New connections are added to `epoll` too.
  Result<> open(const std::string& path, int epoll);
  // Takes new connections, answers what was asked and lets go of who is late. True when there may be more to take at once.
  bool serve(MonoTime now, const Allowed& allowed, const Answer& answer);

 private:
  struct Waiting {
    kernel::Fd socket;
    MonoTime until{};
  };
  void take(kernel::Fd socket, MonoTime now, const Allowed& allowed);
  bool listen(Waiting& waiting, const Answer& answer);

  kernel::Fd listener_;
  int epoll_ = -1;
  std::array<Waiting, kMaxWaiting> waiting_;
};

// Whether the process is in the cgroup of the service, "/services/NAME", by the text of its /proc/PID/cgroup. Pure.
bool in_service_cgroup(std::string_view proc_cgroup, std::string_view service);

}  // namespace steppe::supervise
