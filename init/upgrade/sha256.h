#pragma once

#include <array>
#include <memory>

#include "init/base/bytes.h"
#include "init/base/result.h"

struct evp_md_ctx_st;

namespace steppe::upgrade {

using Digest = std::array<std::byte, 32>;  // SHA-256

Digest sha256(ByteView bytes);

// The digest of bytes that come in pieces.
class Sha256 {
 public:
  Sha256();
  void add(ByteView bytes);
  // Once, last. kUnsupported: this build's libcrypto has none.
  Result<Digest> finish();

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const;
  };
  std::unique_ptr<evp_md_ctx_st, Free> context_;
  bool ok_ = false;
};

}  // namespace steppe::upgrade
