#pragma once

#include <memory>
#include <string>

#include "init/io/stream.h"

namespace steppe::tls {

// TLS 1.2 or newer over a connected stream, as the client. The certificate is checked against the machine's store and
// `host` (a name or an address), unless `verify` says no.
enum class Verify : uint8_t { kYes, kNo };
io::Task<Result<std::unique_ptr<io::Stream>>> start_tls(std::unique_ptr<io::Stream> stream, std::string host, Verify verify, io::Deadline deadline);

// The same as the server: the handshake is part of the first read or write, so that whoever is slow at it keeps nobody else waiting
// and meets that call's deadline. `context` is an SSL_CTX, of which it takes a reference of its own.
std::unique_ptr<io::Stream> serve_tls(std::unique_ptr<io::Stream> stream, void* context);

}  // namespace steppe::tls
