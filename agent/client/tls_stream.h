#pragma once

#include <memory>
#include <string>

#include "init/io/stream.h"

namespace steppe::client {

// TLS 1.2 or newer over a connected stream, as the client. The certificate is checked against the machine's store and
// `host` (a name or an address), unless `verify` says no.
enum class TlsVerify : uint8_t { kYes, kNo };
io::Task<Result<std::unique_ptr<io::Stream>>> start_tls(std::unique_ptr<io::Stream> stream, std::string host, TlsVerify verify,
                                                        io::Deadline deadline);

}  // namespace steppe::client
