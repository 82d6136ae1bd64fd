#include "init/upgrade/sha256.h"

#include <openssl/evp.h>
#include <openssl/sha.h>

namespace steppe::upgrade {

Digest sha256(ByteView bytes) {
  Digest digest;
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), reinterpret_cast<unsigned char*>(digest.data()));
  return digest;
}

void Sha256::Free::operator()(evp_md_ctx_st* context) const { EVP_MD_CTX_free(context); }

Sha256::Sha256() : context_(EVP_MD_CTX_new()) { ok_ = context_ && EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1; }

void Sha256::add(ByteView bytes) { ok_ = ok_ && EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1; }

Result<Digest> Sha256::finish() {
  Digest digest;
  if (!ok_ || EVP_DigestFinal_ex(context_.get(), reinterpret_cast<unsigned char*>(digest.data()), nullptr) != 1)
    return {Code::kUnsupported, "SHA-256 is not available in this build's libcrypto"};
  return digest;
}

}  // namespace steppe::upgrade
