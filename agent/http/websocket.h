#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "init/base/bytes.h"
#include "init/base/result.h"
#include "init/base/rng.h"
#include "init/io/stream.h"

namespace steppe::http {

// The value of Sec-WebSocket-Accept for a client's Sec-WebSocket-Key (RFC 6455 section 4.2.2).
std::string websocket_accept_key(std::string_view key);

// One WebSocket connection after the handshake (RFC 6455), both sides. Text and binary messages are
// joined from their fragments; pings are answered; a close is answered once. One reader, one writer.
class WebSocket {
 public:
  enum class Side : uint8_t { kServer, kClient };  // clients mask what they send
  struct Message {
    bool closed = false;       // the peer closed: `code` and `text` are its reason
    uint16_t code = 1005;
    std::string text;
  };

  // `early` are bytes that arrived behind the handshake. `limit` bounds one message (close 1009).
  WebSocket(std::unique_ptr<io::Stream> stream, Side side, Rng& rng, Bytes limit, std::string early);

  io::Task<Result<Message>> receive(io::Deadline deadline);
  io::Task<Result<>> send_text(std::string text, io::Deadline deadline);
  // Sends a close frame. The stream is closed when this object goes.
  io::Task<Result<>> close(uint16_t code, std::string reason, io::Deadline deadline);

 private:
  struct Frame {
    bool final = false;
    uint8_t opcode = 0;
    std::string payload;
  };
  io::Task<Result<Frame>> read_frame(io::Deadline deadline);
  io::Task<Result<>> read_into(char* to, size_t size, io::Deadline deadline);
  io::Task<Result<>> write_frame(uint8_t opcode, std::string payload, io::Deadline deadline);
  // Joins a data frame to the message under way; true when that is complete.
  Result<bool> join(Frame frame);

  std::unique_ptr<io::Stream> stream_;
  const Side side_;
  Rng& rng_;
  const Bytes limit_;
  std::string buffer_;
  std::string message_;
  bool in_message_ = false;
  bool close_sent_ = false;
  bool writing_ = false;
  std::string pending_;  // frames behind the one that is being written
};

}  // namespace steppe::http
