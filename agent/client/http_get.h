#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "agent/client/artifact_plan.h"
#include "init/io/stream.h"

namespace steppe::client {

// Opens a connection to a host: names resolved, TLS spoken where the URL says https.
class Connector {
 public:
  virtual ~Connector() = default;
  virtual io::Task<Result<std::unique_ptr<io::Stream>>> connect(Url url, bool insecure, io::Deadline deadline) = 0;
  // The request names the whole URL, as a proxy in the way wants it (RFC 9112, 3.2.2).
  virtual bool whole_url(const Url&) const { return false; }
};

struct HttpGetRequest {
  Url url;
  std::map<std::string, std::string> headers;
  bool insecure = false;
  Bytes max_body = Bytes::gib(100);
  int max_redirects = 10;
  std::string method = "GET";  // or another without a body
};

// GET over HTTP/1.1 (RFC 9112) with redirects; the body goes to `take` piece by piece. Credentials and headers are not
// sent on to another origin. A status other than 2xx is kNotFound (404, 410), kDenied (401, 403), kUnavailable (5xx, 429)
// or kInvalid; a body cut short is kIo, one above the limit kExhausted. Messages name the URL without query and user.
io::Task<Result<>> http_get(Connector& connector, HttpGetRequest request, std::function<Result<>(ByteView)> take, io::Deadline deadline);

}  // namespace steppe::client
