#pragma once

#include <stddef.h>
#include <stdint.h>

#include <cstddef>
#include <span>

#include "drivers/executor/protocol.h"

namespace steppe::executor {

struct PollFd {
  int fd;
  short events, revents;
};
inline constexpr short kPollIn = 1;

bool readable(int fd);

struct Request {
  Verb verb = Verb::kStatus;
  int signal = 0;
  int64_t grace_ms = 0;
};

// False when the packet is no request, or one whose numbers are out of range.
bool decode_request(std::span<const std::byte> bytes, Request& out);

// Waits for the kLaunch request and its descriptors: the plan's, then what it inherits. Returns how many were received;
// 0 when the agent has gone, -errno for anything but one whole request.
inline constexpr uint32_t kMaxDescriptors = 1 + 128;
long receive_launch(int fd, int (&descriptors)[kMaxDescriptors]);

// The executor's side of the control protocol: the connection it was born with, and those that later agents make to
// the listening socket. A malformed request is answered with EINVAL; a connection that sends none costs one slot of
// kMaxConnections; the oldest gives way.
class Control {
 public:
  static constexpr size_t kMaxConnections = 6;

  void begin(int connection, int listener);
  // True while somebody is connected.
  bool connected() const;

  void report_started(int task_pid, int task_pidfd);
  void report_failure(uint32_t list, uint32_t step, uint16_t op, int error);

  // Appends the descriptors to wait for; returns the new count.
  size_t add_to(PollFd* fds, size_t count) const;
  // Serves what poll reported about exactly those descriptors. `handler` returns 0 or -errno.
  void serve(const PollFd* fds, size_t count, long (*handler)(const Request&), State state);

 private:
  void accept();
  // False when the connection has ended.
  bool serve_one(int fd, long (*handler)(const Request&), State state);
  void reply(int fd, long error, State state, bool with_pidfds);

  int listener_ = -1;
  int connections_[kMaxConnections] = {-1, -1, -1, -1, -1, -1};
  size_t next_ = 0;
  int task_pid_ = 0, task_pidfd_ = -1;
};

}  // namespace steppe::executor
