#include "init/io/posix_net.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <format>

#include "init/base/text.h"

namespace steppe::io {

Result<Address> Address::parse(std::string_view text) {
  Address address;
  if (text.starts_with("unix:")) {
    address.unix_path = text.substr(5);
    if (address.unix_path.starts_with("//")) address.unix_path.erase(0, 2);
    if (!address.unix_path.starts_with('/')) return Error(Code::kInvalid, std::format("not an absolute socket path: \"{}\"", text));
    return address;
  }
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return Error(Code::kInvalid, std::format("address without a port: \"{}\"", text));
  std::string_view ip = text.substr(0, colon);
  if (ip.starts_with('[') && ip.ends_with(']')) ip = ip.substr(1, ip.size() - 2);
  STEPPE_TRY(const uint64_t port, parse_uint(text.substr(colon + 1)).wrap("port"));
  if (port > 65535) return Error(Code::kInvalid, std::format("port out of range: {}", port));
  address.ip = ip;
  address.port = static_cast<uint16_t>(port);
  unsigned char binary[16];
  if (inet_pton(AF_INET, address.ip.c_str(), binary) != 1 && inet_pton(AF_INET6, address.ip.c_str(), binary) != 1) {
    return Error(Code::kInvalid, std::format("not an IP address: \"{}\"", ip));
  }
  return address;
}

std::string Address::text() const {
  if (!unix_path.empty()) return "unix:" + unix_path;
  return ip.find(':') != std::string::npos ? std::format("[{}]:{}", ip, port) : std::format("{}:{}", ip, port);
}

namespace {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

Result<SocketAddress> to_kernel(const Address& address) {
  SocketAddress out;
  if (!address.unix_path.empty()) {
    auto& un = reinterpret_cast<sockaddr_un&>(out.storage);
    if (address.unix_path.size() >= sizeof un.sun_path) {
      return Error(Code::kInvalid, std::format("socket path longer than {} bytes: {}", sizeof un.sun_path - 1, address.unix_path));
    }
    un.sun_family = AF_UNIX;
    std::memcpy(un.sun_path, address.unix_path.c_str(), address.unix_path.size() + 1);
    out.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address.unix_path.size() + 1);
    return out;
  }
  auto& v4 = reinterpret_cast<sockaddr_in&>(out.storage);
  if (inet_pton(AF_INET, address.ip.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(address.port);
    out.size = sizeof v4;
    return out;
  }
  auto& v6 = reinterpret_cast<sockaddr_in6&>(out.storage);
  if (inet_pton(AF_INET6, address.ip.c_str(), &v6.sin6_addr) != 1) {
    return Error(Code::kInvalid, std::format("not an IP address: \"{}\"", address.ip));
  }
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(address.port);
  out.size = sizeof v6;
  return out;
}

Address from_kernel(const SocketAddress& from) {
  Address address;
  char text[INET6_ADDRSTRLEN];
  switch (from.storage.ss_family) {
    case AF_INET: {
      const auto& v4 = reinterpret_cast<const sockaddr_in&>(from.storage);
      address.ip = inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
      address.port = ntohs(v4.sin_port);
      break;
    }
    case AF_INET6: {
      const auto& v6 = reinterpret_cast<const sockaddr_in6&>(from.storage);
      address.ip = inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
      address.port = ntohs(v6.sin6_port);
      break;
    }
    default: {
      const auto& un = reinterpret_cast<const sockaddr_un&>(from.storage);
      address.unix_path = from.size > offsetof(sockaddr_un, sun_path) ? un.sun_path : "";
      break;
    }
  }
  return address;
}

Address name_of(int fd, int (*query)(int, sockaddr*, socklen_t*)) {
  SocketAddress address;
  address.size = sizeof address.storage;
  if (query(fd, address.get(), &address.size) != 0) return {};
  return from_kernel(address);
}

class FdStream final : public Stream {
 public:
  FdStream(Loop& loop, int fd) : loop_(loop), fd_(fd) {}
  ~FdStream() override { close(fd_); }

  Task<Result<size_t>> read(ByteSpan into, Deadline deadline) override {
    while (true) {
      const ssize_t count = recv(fd_, into.data(), into.size(), 0);
      if (count >= 0) co_return static_cast<size_t>(count);
      if (errno == EINTR) continue;
      if (errno != EAGAIN) co_return Error::from_errno(errno, "recv");
      STEPPE_CO_TRY_VOID(co_await wait_ready(loop_, fd_, Readiness::kReadable, deadline));
    }
  }

  Task<Result<>> write(ByteView bytes, Deadline deadline) override {
    while (!bytes.empty()) {
      const ssize_t count = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (count >= 0) {
        bytes = bytes.subspan(static_cast<size_t>(count));
        continue;
      }
      if (errno == EINTR) continue;
      if (errno != EAGAIN) co_return Error::from_errno(errno, "send");
      STEPPE_CO_TRY_VOID(co_await wait_ready(loop_, fd_, Readiness::kWritable, deadline));
    }
    co_return Result<>();
  }

  Result<> shutdown_write() override {
    if (shutdown(fd_, SHUT_WR) != 0) return Error::from_errno(errno, "shutdown");
    return {};
  }
  Address peer() const override { return name_of(fd_, getpeername); }

 private:
  Loop& loop_;
  const int fd_;
};

class FdListener final : public Listener {
 public:
  FdListener(Loop& loop, int fd) : loop_(loop), fd_(fd) {}
  ~FdListener() override { close(fd_); }

  Task<Result<std::unique_ptr<Stream>>> accept(Deadline deadline) override {
    while (true) {
      const int fd = accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
      if (fd >= 0) {
        const int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // fails on Unix sockets: no matter
        co_return std::unique_ptr<Stream>(std::make_unique<FdStream>(loop_, fd));
      }
      if (errno == EINTR || errno == ECONNABORTED) continue;
      if (errno != EAGAIN) co_return Error::from_errno(errno, "accept");
      STEPPE_CO_TRY_VOID(co_await wait_ready(loop_, fd_, Readiness::kReadable, deadline));
    }
  }
  Address local() const override { return name_of(fd_, getsockname); }

 private:
  Loop& loop_;
  const int fd_;
};

class FdDatagram final : public DatagramSocket {
 public:
  FdDatagram(Loop& loop, int fd) : loop_(loop), fd_(fd) {}
  ~FdDatagram() override { close(fd_); }

  Task<Result<Received>> receive(ByteSpan into, Deadline deadline) override {
    while (true) {
      SocketAddress from;
      from.size = sizeof from.storage;
      const ssize_t count = recvfrom(fd_, into.data(), into.size(), MSG_TRUNC, from.get(), &from.size);
      if (count >= 0 && static_cast<size_t>(count) <= into.size()) {
        co_return Received{from_kernel(from), static_cast<size_t>(count)};
      }
      if (count >= 0 || errno == EINTR || errno == ECONNREFUSED) continue;
      if (errno != EAGAIN) co_return Error::from_errno(errno, "recvfrom");
      STEPPE_CO_TRY_VOID(co_await wait_ready(loop_, fd_, Readiness::kReadable, deadline));
    }
  }

  Task<Result<>> send(ByteView bytes, Address to, Deadline deadline) override {
    STEPPE_CO_TRY(SocketAddress target, to_kernel(to));
    while (true) {
      const ssize_t count = sendto(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL, target.get(), target.size);
      if (count >= 0) co_return Result<>();
      if (errno == EINTR) continue;
      if (errno != EAGAIN) co_return Error::from_errno(errno, "sendto " + to.text());
      STEPPE_CO_TRY_VOID(co_await wait_ready(loop_, fd_, Readiness::kWritable, deadline));
    }
  }
  Address local() const override { return name_of(fd_, getsockname); }

 private:
  Loop& loop_;
  const int fd_;
};

Result<int> open_socket(const Address& address, SocketAddress& kernel, int type) {
  STEPPE_TRY(kernel, to_kernel(address));
  const int fd = socket(kernel.storage.ss_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return Error::from_errno(errno, "socket " + address.text());
  return fd;
}

// A socket file that nobody listens on is left by an earlier run; anything else is not ours.
Result<> clear_stale_socket(const std::string& path) {
  struct stat status{};
  if (lstat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return {};
    return Error::from_errno(errno, "stat " + path);
  }
  if (!S_ISSOCK(status.st_mode)) return Error(Code::kExists, path + ": a file that is not a socket is in the way");
  if (unlink(path.c_str()) != 0) return Error::from_errno(errno, "unlink " + path);
  return {};
}

class PosixNetwork final : public Network {
 public:
  explicit PosixNetwork(Loop& loop) : loop_(loop) {}

  Task<Result<std::unique_ptr<Stream>>> connect(Address to, Deadline deadline) override {
    SocketAddress kernel;
    STEPPE_CO_TRY(const int fd, open_socket(to, kernel, SOCK_STREAM));
    auto stream = std::make_unique<FdStream>(loop_, fd);
    if (to.unix_path.empty()) {
      const int on = 1;
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    if (::connect(fd, kernel.get(), kernel.size) != 0) {
      if (errno != EINPROGRESS) co_return Error::from_errno(errno, "connect " + to.text());
      Result<> ready = co_await wait_ready(loop_, fd, Readiness::kWritable, deadline);
      if (!ready.ok()) co_return std::move(ready).wrap("connect " + to.text()).error();
      int number = 0;
      socklen_t size = sizeof number;
      if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &number, &size) != 0) number = errno;
      if (number != 0) co_return Error::from_errno(number, "connect " + to.text());
    }
    co_return std::unique_ptr<Stream>(std::move(stream));
  }

  Result<std::unique_ptr<Listener>> listen(const Address& at) override {
    SocketAddress kernel;
    STEPPE_TRY(const int fd, open_socket(at, kernel, SOCK_STREAM));
    auto listener = std::make_unique<FdListener>(loop_, fd);
    const int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (!at.unix_path.empty()) {
      STEPPE_TRY_VOID(clear_stale_socket(at.unix_path));
      fchmod(fd, 0600);  // Linux takes the mode of the socket file from the socket's inode
    }
    if (bind(fd, kernel.get(), kernel.size) != 0) return Error::from_errno(errno, "bind " + at.text());
    if (!at.unix_path.empty() && chmod(at.unix_path.c_str(), 0600) != 0) return Error::from_errno(errno, "chmod " + at.unix_path);
    if (::listen(fd, 1024) != 0) return Error::from_errno(errno, "listen " + at.text());
    return std::unique_ptr<Listener>(std::move(listener));
  }

  Result<std::unique_ptr<DatagramSocket>> bind_datagram(const Address& at) override {
    SocketAddress kernel;
    STEPPE_TRY(const int fd, open_socket(at, kernel, SOCK_DGRAM));
    auto bound = std::make_unique<FdDatagram>(loop_, fd);
    if (!at.unix_path.empty()) STEPPE_TRY_VOID(clear_stale_socket(at.unix_path));
    if (bind(fd, kernel.get(), kernel.size) != 0) return Error::from_errno(errno, "bind " + at.text());
    return std::unique_ptr<DatagramSocket>(std::move(bound));
  }

 private:
  Loop& loop_;
};

}  // namespace

std::unique_ptr<Network> make_posix_network(Loop& loop) { return std::make_unique<PosixNetwork>(loop); }

std::unique_ptr<Stream> adopt_stream(Loop& loop, int fd) {
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  return std::make_unique<FdStream>(loop, fd);
}

Task<Result<>> read_exactly(Stream& stream, ByteSpan into, Deadline deadline) {
  while (!into.empty()) {
    STEPPE_CO_TRY(const size_t count, co_await stream.read(into, deadline));
    if (count == 0) co_return Error(Code::kIo, "stream ended early");
    into = into.subspan(count);
  }
  co_return Result<>();
}

}  // namespace steppe::io
