#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string_view>

#include "agent/http/message.h"
#include "init/base/result.h"

namespace steppe::http {

// Incremental HTTP/1.1 parsing of bytes from anywhere (RFC 9112). Errors: kExhausted when a limit is
// met, kInvalid for what is not HTTP. After an error the connection must be closed.
class RequestParser {
 public:
  explicit RequestParser(MessageLimits limits);
  ~RequestParser();
  RequestParser(RequestParser&&) noexcept;

  // Consumes a prefix of `bytes` and returns its length. Stops at the end of the message.
  Result<size_t> feed(std::string_view bytes);
  bool header_done() const;
  // The client waits for "100 Continue" before it sends the body.
  bool expects_continue() const;
  bool done() const;
  bool started() const;  // any byte of a message was seen
  // Requires done(). kInvalid for a broken query, and for no Host in HTTP/1.1 or several. Leaves the parser used up.
  Result<Request> take();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

class ResponseParser {
 public:
  // `head_only`: the answer to a HEAD request, or an upgrade: no body whatever the headers say.
  ResponseParser(MessageLimits limits, bool head_only);
  ~ResponseParser();

  Result<size_t> feed(std::string_view bytes);
  // The stream ended: completes a message without a length. kInvalid when it was cut.
  Result<> feed_end();
  bool header_done() const;
  bool done() const;
  int status() const;              // requires header_done()
  Headers headers() const;         // requires header_done()
  std::string take_body();         // what was parsed of the body since the last call

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace steppe::http
