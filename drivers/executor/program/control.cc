#include "drivers/executor/program/control.h"

#include "drivers/executor/program/system.h"
#include "init/frame/wire.h"

namespace steppe::executor {
namespace {

constexpr int kDontWait = 0x40, kNoSignal = 0x4000;      // MSG_DONTWAIT, MSG_NOSIGNAL
constexpr int kSockCloexec = 02000000, kSockNonblock = 04000;
constexpr uint16_t kRequestType = 2, kReplyType = 3;     // frame::Type

struct IoVector {
  void* base;
  size_t size;
};
struct MessageHeader {  // the kernel's struct user_msghdr
  void* name = nullptr;
  int name_size = 0;
  IoVector* vectors = nullptr;
  size_t vector_count = 0;
  void* control = nullptr;
  size_t control_size = 0;
  unsigned flags = 0;
};
struct RightsMessage {  // struct cmsghdr with two descriptors
  size_t size = 16 + 2 * sizeof(int);
  int level = 1 /* SOL_SOCKET */, type = 1 /* SCM_RIGHTS */;
  int fds[2];
};

void send(int fd, std::span<const std::byte> bytes, const int* pidfds) {
  IoVector vector{const_cast<std::byte*>(bytes.data()), bytes.size()};
  MessageHeader message;
  message.vectors = &vector;
  message.vector_count = 1;
  RightsMessage rights;
  if (pidfds != nullptr) {
    rights.fds[0] = pidfds[0];
    rights.fds[1] = pidfds[1];
    message.control = &rights;
    message.control_size = sizeof rights;
  }
  // A peer that does not read loses its reply; we never wait for anyone.
  syscall(__NR_sendmsg, fd, pointer(&message), kDontWait | kNoSignal);
}

}  // namespace

long receive_launch(int fd, int (&descriptors)[kMaxDescriptors]) {
  alignas(8) std::byte packet[kMaxPacket];
  struct {
    size_t size;
    int level, type;
    int fds[kMaxDescriptors + 1];
  } rights = {};
  IoVector vector{packet, sizeof packet};
  MessageHeader message;
  message.vectors = &vector;
  message.vector_count = 1;
  message.control = &rights;
  message.control_size = sizeof rights;
  constexpr int kCloexecFds = 0x40000000;             // MSG_CMSG_CLOEXEC
  constexpr unsigned kCut = 0x8 /* MSG_CTRUNC */ | 0x20 /* MSG_TRUNC */;
  long n;
  do {
    n = syscall(__NR_recvmsg, fd, pointer(&message), kCloexecFds);
  } while (n == -EINTR);
  if (n <= 0) return n;
  Request request;
  if ((message.flags & kCut) != 0 || !decode_request({packet, static_cast<size_t>(n)}, request)) return -EINVAL;
  if (request.verb != Verb::kLaunch || message.control_size < 16 + sizeof(int) || rights.level != 1 || rights.type != 1) return -EINVAL;
  uint32_t count = static_cast<uint32_t>((rights.size - 16) / sizeof(int));
  if (count > kMaxDescriptors) return -EINVAL;
  for (uint32_t i = 0; i < count; ++i) descriptors[i] = rights.fds[i];
  return count;
}

bool decode_request(std::span<const std::byte> bytes, Request& out) {
  frame::View view;
  if (frame::parse(bytes, kMaxPacket, view) != frame::Status::kOk) return false;
  if (view.type != kRequestType || view.version != kProtocolVersion || view.size != bytes.size()) return false;
  frame::Fields fields(view.payload);
  bool verb = false;
  for (frame::Field field; fields.next(field);) {
    switch (field.tag) {
      case kVerb: out.verb = static_cast<Verb>(field.integer()); verb = true; break;
      case kSignalNumber: out.signal = static_cast<int>(field.integer()); break;
      case kGraceMs: out.grace_ms = field.integer(); break;
      default: break;  // from a newer agent
    }
  }
  constexpr int64_t kMaxGraceMs = 366ll * 24 * 3600 * 1000;
  return verb && !fields.damaged() && out.signal >= 0 && out.signal <= 64 && out.grace_ms >= 0 && out.grace_ms <= kMaxGraceMs;
}

bool readable(int fd) {
  PollFd one{fd, kPollIn, 0};
  Timespec zero;
  return syscall(__NR_ppoll, pointer(&one), 1, pointer(&zero), 0, 0) > 0 && (one.revents & kPollIn) != 0;
}

void Control::begin(int connection, int listener) {
  connections_[0] = connection;
  next_ = 1;
  listener_ = listener;
}

bool Control::connected() const {
  for (int fd : connections_) {
    if (fd >= 0) return true;
  }
  return false;
}

size_t Control::add_to(PollFd* fds, size_t count) const {
  fds[count++] = {listener_, kPollIn, 0};
  for (int fd : connections_) {
    if (fd >= 0) fds[count++] = {fd, kPollIn, 0};
  }
  return count;
}

void Control::accept() {
  long fd = syscall(__NR_accept4, listener_, 0, 0, kSockCloexec | kSockNonblock);
  if (fd < 0) return;
  size_t slot = kMaxConnections;
  for (size_t i = 0; i < kMaxConnections; ++i) {
    if (connections_[i] < 0) slot = i;
  }
  if (slot == kMaxConnections) {
    slot = next_;
    next_ = (next_ + 1) % kMaxConnections;
    sys_close(connections_[slot]);
  }
  connections_[slot] = static_cast<int>(fd);
}

void Control::serve(const PollFd* fds, size_t count, long (*handler)(const Request&), State state) {
  for (size_t i = 1; i < count; ++i) {
    if (fds[i].revents == 0) continue;
    for (int& fd : connections_) {
      if (fd != fds[i].fd) continue;
      if (!serve_one(fd, handler, state)) {
        sys_close(fd);
        fd = -1;
      }
      break;
    }
  }
  if (count > 0 && fds[0].revents != 0) accept();
}

bool Control::serve_one(int fd, long (*handler)(const Request&), State state) {
  alignas(8) std::byte packet[kMaxPacket];
  long n = syscall(__NR_recvfrom, fd, pointer(packet), sizeof packet, kDontWait, 0, 0);
  if (n == -EAGAIN || n == -EINTR) return true;
  if (n <= 0) return false;
  Request request;
  if (!decode_request({packet, static_cast<size_t>(n)}, request)) {
    reply(fd, -EINVAL, state, false);
    return true;
  }
  reply(fd, handler(request), state, request.verb == Verb::kStatus);
  return true;
}

void Control::reply(int fd, long error, State state, bool with_pidfds) {
  alignas(8) std::byte buffer[256];
  frame::Writer out(buffer, kReplyType, kProtocolVersion);
  long self = syscall(__NR_getpid);
  out.add_integer(kError, -error);
  out.add_integer(kState, static_cast<int64_t>(state));
  out.add_integer(kExecutorPid, self);
  out.add_integer(kTaskPid, task_pid_);
  if (!with_pidfds) {
    send(fd, out.finish(), nullptr);
    return;
  }
  long own = syscall(__NR_pidfd_open, self, 0);
  int pidfds[2] = {static_cast<int>(own), task_pidfd_};
  send(fd, out.finish(), own >= 0 ? pidfds : nullptr);
  if (own >= 0) sys_close(static_cast<int>(own));
}

void Control::report_started(int task_pid, int task_pidfd) {
  task_pid_ = task_pid;
  task_pidfd_ = task_pidfd;
  if (connections_[0] >= 0) reply(connections_[0], 0, State::kRunning, true);
}

void Control::report_failure(uint32_t list, uint32_t step, uint16_t op, int error) {
  alignas(8) std::byte buffer[256];
  frame::Writer out(buffer, kReplyType, kProtocolVersion);
  out.add_integer(kError, error);
  out.add_integer(kState, static_cast<int64_t>(State::kFailed));
  out.add_integer(kFailedStep, step);
  out.add_integer(kFailedOp, op);
  out.add_integer(kFailedErrno, error);
  out.add_integer(kFailedList, list);
  if (connections_[0] >= 0) send(connections_[0], out.finish(), nullptr);
}

}  // namespace steppe::executor
