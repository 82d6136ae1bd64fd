#include "init/sys/kernel/unix_socket.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <format>

namespace steppe::kernel {
namespace {

constexpr size_t kMaxFds = 8;

Result<sockaddr_un> address(int directory, const std::string& name) {
  sockaddr_un out = {};
  out.sun_family = AF_UNIX;
  std::string path = std::format("/proc/self/fd/{}/{}", directory, name);
  if (path.size() >= sizeof out.sun_path) return {Code::kInvalid, std::format("socket name {} is too long", name)};
  std::memcpy(out.sun_path, path.c_str(), path.size() + 1);
  return out;
}

Result<> wait_for(const Fd& socket, short events, Duration limit) {
  pollfd one = {socket.get(), events, 0};
  timespec time = {static_cast<time_t>(limit.count() / 1'000'000'000), static_cast<long>(limit.count() % 1'000'000'000)};
  for (;;) {
    int n = ::ppoll(&one, 1, &time, nullptr);
    if (n > 0) return {};
    if (n == 0) return {Code::kTimeout, "the other end of a control socket does not answer"};
    if (errno != EINTR) return Error::from_errno(errno, "wait for a control socket");
  }
}

}  // namespace

Result<std::pair<Fd, Fd>> packet_pair() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return Error::from_errno(errno, "make a socket pair");
  std::pair<Fd, Fd> out{Fd(ends[0]), Fd(ends[1])};
  if (::fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0) return Error::from_errno(errno, "make a socket non-blocking");
  return out;
}

Result<Fd> listen_packets(int directory, const std::string& name) {
  STEPPE_TRY(sockaddr_un where, address(directory, name));
  Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return Error::from_errno(errno, "make a socket");
  if (::unlinkat(directory, name.c_str(), 0) != 0 && errno != ENOENT) return Error::from_errno(errno, std::format("remove stale socket {}", name));
  if (::fchmod(socket.get(), 0600) != 0 || ::bind(socket.get(), reinterpret_cast<sockaddr*>(&where), sizeof where) != 0 ||
      ::listen(socket.get(), 8) != 0) {
    return Error::from_errno(errno, std::format("listen on socket {}", name));
  }
  return socket;
}

Result<Fd> connect_packets(int directory, const std::string& name) {
  STEPPE_TRY(sockaddr_un where, address(directory, name));
  Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return Error::from_errno(errno, "make a socket");
  if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&where), sizeof where) == 0) return socket;
  if (errno == ECONNREFUSED || errno == EAGAIN) {
    return {Code::kUnavailable, std::format("nobody listens on socket {}", name)};
  }
  return Error::from_errno(errno, std::format("connect to socket {}", name));
}

Result<> send_packet(const Fd& socket, ByteView data, Duration limit, std::span<const int> fds) {
  constexpr size_t kMostFds = 253;  // SCM_MAX_FD
  if (fds.size() > kMostFds) return {Code::kInvalid, std::format("a packet carries at most {} descriptors, not {}", kMostFds, fds.size())};
  iovec vector = {const_cast<std::byte*>(data.data()), data.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(kMostFds * sizeof(int))];
  msghdr message = {};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size_bytes());
  }
  for (;;) {
    if (::sendmsg(socket.get(), &message, MSG_NOSIGNAL) == static_cast<ssize_t>(data.size())) return {};
    if (errno == EINTR) continue;
    if (errno == EPIPE || errno == ECONNRESET) return {Code::kUnavailable, "the other end of a control socket has gone"};
    if (errno != EAGAIN) return Error::from_errno(errno, "send a packet");
    STEPPE_TRY_VOID(wait_for(socket, POLLOUT, limit));
  }
}

Result<Packet> receive_packet(const Fd& socket, size_t max, Duration limit) {
  STEPPE_TRY_VOID(wait_for(socket, POLLIN, limit));
  Packet packet;
  packet.data.resize(max);
  iovec vector = {packet.data.data(), packet.data.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxFds * sizeof(int))];
  msghdr message = {};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t n;
  do {
    n = ::recvmsg(socket.get(), &message, MSG_CMSG_CLOEXEC);
  } while (n < 0 && errno == EINTR);
  if (n < 0 && errno != ECONNRESET) return Error::from_errno(errno, "receive a packet");
  if (n <= 0) {
    packet.data.clear();
    packet.closed = true;
    return packet;
  }
  packet.data.resize(static_cast<size_t>(n));
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
      packet.fds.emplace_back(fd);
    }
  }
  if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) return {Code::kCorrupt, std::format("a packet is longer than {} bytes", max)};
  return packet;
}

}  // namespace steppe::kernel
