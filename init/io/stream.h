#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "init/base/bytes.h"
#include "init/base/result.h"
#include "init/io/task.h"
#include "init/io/wait.h"

namespace steppe::io {

// "unix:/run/steppe/x.sock" or an IP address and port: "127.0.0.1:4646", "[::1]:4646". No names.
struct Address {
  std::string unix_path;  // set: a Unix socket; the others are empty
  std::string ip;
  uint16_t port = 0;

  static Result<Address> parse(std::string_view text);
  std::string text() const;
  friend bool operator==(const Address&, const Address&) = default;
};

// A connected byte stream. One reader and one writer at a time.
class Stream {
 public:
  virtual ~Stream() = default;
  // At least one byte; 0 at the end of the stream.
  virtual Task<Result<size_t>> read(ByteSpan into, Deadline deadline) = 0;
  // All bytes, or an error after which the stream is useless.
  virtual Task<Result<>> write(ByteView bytes, Deadline deadline) = 0;
  virtual Result<> shutdown_write() = 0;
  virtual Address peer() const = 0;
};

class Listener {
 public:
  virtual ~Listener() = default;
  virtual Task<Result<std::unique_ptr<Stream>>> accept(Deadline deadline) = 0;
  virtual Address local() const = 0;  // with the port that the kernel chose
};

// A datagram socket. Datagrams longer than `into` are dropped and counted as errors.
class DatagramSocket {
 public:
  struct Received {
    Address from;
    size_t size = 0;
  };
  virtual ~DatagramSocket() = default;
  virtual Task<Result<Received>> receive(ByteSpan into, Deadline deadline) = 0;
  virtual Task<Result<>> send(ByteView bytes, Address to, Deadline deadline) = 0;
  virtual Address local() const = 0;
};

class Network {
 public:
  virtual ~Network() = default;
  virtual Task<Result<std::unique_ptr<Stream>>> connect(Address to, Deadline deadline) = 0;
  virtual Result<std::unique_ptr<Listener>> listen(const Address& at) = 0;
  virtual Result<std::unique_ptr<DatagramSocket>> bind_datagram(const Address& at) = 0;
};

// Reads exactly `into.size()` bytes; kIo when the stream ends before.
Task<Result<>> read_exactly(Stream& stream, ByteSpan into, Deadline deadline);

}  // namespace steppe::io
