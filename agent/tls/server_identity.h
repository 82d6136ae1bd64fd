#pragma once

#include <memory>
#include <string>

#include "init/base/result.h"
#include "init/io/stream.h"

namespace steppe::tls {

// What a server proves who it is with. Its key never leaves it. Loop thread only.
class ServerIdentity {
 public:
  // A key of P-256 and a certificate of its own over `name`, made now. It is good for ever: whoever checks it compares the key, and
  // the clock of a machine that has just been made may be anything.
  static Result<ServerIdentity> self_signed(const std::string& name);

  // What a client pins: "sha256//" and base64 of the digest of the public key (RFC 7469), as `curl --pinnedpubkey` takes it.
  const std::string& pin() const { return pin_; }

  // Speaks TLS 1.2 or newer on what `below` accepts (serve_tls). The listener keeps what it needs of the identity.
  std::unique_ptr<io::Listener> listen(std::unique_ptr<io::Listener> below) const;

 private:
  std::shared_ptr<void> context_;  // SSL_CTX
  std::string pin_;
};

}  // namespace steppe::tls
