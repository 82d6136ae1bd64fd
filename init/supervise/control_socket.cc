#include "init/supervise/control_socket.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace steppe::supervise {

Result<> ControlSocket::open(const std::string& path, int epoll) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return {Code::kInvalid, "the control socket's path is too long: " + path};
  std::memcpy(address.sun_path, path.c_str(), path.size());
  kernel::Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.valid()) return Error::from_errno(errno, "make the control socket");
  (void)::mkdir(path.substr(0, path.rfind('/')).c_str(), 0711);
  (void)::unlink(path.c_str());
  // Before it has a name: no moment in which others could connect.
  if (::fchmod(socket.get(), 0600) != 0) return Error::from_errno(errno, "set the mode of " + path);
  if (::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return Error::from_errno(errno, "bind " + path);
  if (::listen(socket.get(), kMaxWaiting) != 0) return Error::from_errno(errno, "listen on " + path);
  epoll_event event = {};
  event.events = EPOLLIN;
  event.data.fd = socket.get();
  if (::epoll_ctl(epoll, EPOLL_CTL_ADD, socket.get(), &event) != 0) return Error::from_errno(errno, "watch " + path);
  epoll_ = epoll;
  listener_ = std::move(socket);
  return {};
}

bool ControlSocket::serve(MonoTime now, const Allowed& allowed, const Answer& answer) {
  if (!listener_.valid()) return false;
  int taken = 0;
  for (; taken < kMaxAtOnce; ++taken) {
    kernel::Fd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket.valid()) break;
    take(std::move(socket), now, allowed);
  }
  for (Waiting& waiting : waiting_) {
    if (!waiting.socket.valid()) continue;
    if (listen(waiting, answer) || now >= waiting.until) waiting.socket = kernel::Fd();
  }
  return taken == kMaxAtOnce;
}

void ControlSocket::take(kernel::Fd socket, MonoTime now, const Allowed& allowed) {
  ucred who = {};
  socklen_t size = sizeof who;
  // The peer as it was when it connected. Its number cannot have gone to another process that asks, for nobody else holds the socket
  // but by the peer's own will.
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &who, &size) != 0 || who.uid != ::geteuid() || !allowed(who.pid)) return;
  auto oldest = std::ranges::min_element(waiting_, {}, [](const Waiting& one) { return one.socket.valid() ? one.until.ns : INT64_MIN; });
  epoll_event event = {};
  event.events = EPOLLIN;
  event.data.fd = socket.get();
  if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, socket.get(), &event) != 0) return;
  *oldest = {std::move(socket), now + kPatience};
}

// True when the connection is over.
bool ControlSocket::listen(Waiting& waiting, const Answer& answer) {
  std::byte packet[control::kMaxRequest + 1];
  const ssize_t size = ::recv(waiting.socket.get(), packet, sizeof packet, MSG_DONTWAIT);
  if (size < 0) return errno != EAGAIN && errno != EINTR;
  if (size == 0) return true;
  control::Request request;
  control::Reply reply;
  if (control::decode(std::span(packet, static_cast<size_t>(size)), request)) answer(request, reply);
  else reply.status = control::Status::kMalformed;
  std::byte buffer[control::kMaxReply];
  const std::span<const std::byte> bytes = control::encode(reply, buffer);
  (void)!::send(waiting.socket.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  return true;
}

bool in_service_cgroup(std::string_view proc_cgroup, std::string_view service) {
  // One line for the v2 hierarchy: "0::/services/agent". A machine of ours has no other.
  static constexpr std::string_view kPrefix = "0::/services/";
  while (!proc_cgroup.empty()) {
    std::string_view line = proc_cgroup.substr(0, proc_cgroup.find('\n'));
    proc_cgroup.remove_prefix(std::min(proc_cgroup.size(), line.size() + 1));
    if (line.starts_with(kPrefix) && line.substr(kPrefix.size()) == service) return true;
  }
  return false;
}

}  // namespace steppe::supervise
