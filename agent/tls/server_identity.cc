#include "agent/tls/server_identity.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <array>
#include <utility>

#include "agent/tls/tls_stream.h"
#include "init/base/bytes.h"

namespace steppe::tls {
namespace {

template <auto Free>
struct Freed {
  template <class T>
  void operator()(T* it) const {
    Free(it);
  }
};
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Freed<X509_free>>;

Error failed(const char* what) {
  char text[160] = "unknown";
  if (unsigned long code = ERR_get_error(); code != 0) ERR_error_string_n(code, text, sizeof text);
  ERR_clear_error();
  return Error(Code::kExhausted, std::string("make a key for TLS: ") + what + ": " + text);
}

Result<Certificate> certificate_of(EVP_PKEY* key, const std::string& name) {
  Certificate out(X509_new());
  std::array<unsigned char, 8> serial;
  if (!out || RAND_bytes(serial.data(), serial.size()) != 1) return failed("certificate");
  serial[0] &= 0x7f;
  uint64_t number = 0;
  for (unsigned char byte : serial) number = number << 8 | byte;
  X509_NAME* subject = X509_get_subject_name(out.get());
  const auto* text = reinterpret_cast<const unsigned char*>(name.c_str());
  bool done = X509_set_version(out.get(), X509_VERSION_3) == 1 && ASN1_INTEGER_set_uint64(X509_get_serialNumber(out.get()), number) == 1 &&
              ASN1_TIME_set_string_X509(X509_getm_notBefore(out.get()), "19700101000000Z") == 1 &&
              ASN1_TIME_set_string_X509(X509_getm_notAfter(out.get()), "99991231235959Z") == 1 &&
              X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, text, static_cast<int>(name.size()), -1, 0) == 1 &&
              X509_set_issuer_name(out.get(), subject) == 1 && X509_set_pubkey(out.get(), key) == 1 && X509_sign(out.get(), key, EVP_sha256()) > 0;
  if (!done) return failed("certificate");
  return out;
}

Result<std::string> pin_of(const X509* certificate) {
  unsigned char* der = nullptr;
  const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
  std::array<unsigned char, 32> digest;
  const bool done = size > 0 && EVP_Digest(der, static_cast<size_t>(size), digest.data(), nullptr, EVP_sha256(), nullptr) == 1;
  OPENSSL_free(der);
  if (!done) return failed("digest");
  return "sha256//" + base64(std::as_bytes(std::span(digest)));
}

class TlsListener final : public io::Listener {
 public:
  TlsListener(std::unique_ptr<io::Listener> below, std::shared_ptr<void> context) : below_(std::move(below)), context_(std::move(context)) {}
  io::Task<Result<std::unique_ptr<io::Stream>>> accept(io::Deadline deadline) override {
    STEPPE_CO_TRY(std::unique_ptr<io::Stream> plain, co_await below_->accept(deadline));
    std::unique_ptr<io::Stream> out = serve_tls(std::move(plain), context_.get());
    if (!out) co_return failed("connection");
    co_return out;
  }
  io::Address local() const override { return below_->local(); }

 private:
  std::unique_ptr<io::Listener> below_;
  std::shared_ptr<void> context_;
};

}  // namespace

Result<ServerIdentity> ServerIdentity::self_signed(const std::string& name) {
  Key key(EVP_EC_gen("P-256"));
  if (!key) return failed("key");
  STEPPE_TRY(const Certificate certificate, certificate_of(key.get(), name));
  ServerIdentity out;
  STEPPE_TRY(out.pin_, pin_of(certificate.get()));
  std::shared_ptr<SSL_CTX> context(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
  if (!context || SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION) != 1 || SSL_CTX_use_certificate(context.get(), certificate.get()) != 1 ||
      SSL_CTX_use_PrivateKey(context.get(), key.get()) != 1) {
    return failed("context");
  }
  // No connection is gone on with later, and none is made anew within itself: less to keep, less to go wrong.
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET);
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  out.context_ = std::move(context);
  return out;
}

std::unique_ptr<io::Listener> ServerIdentity::listen(std::unique_ptr<io::Listener> below) const {
  return std::make_unique<TlsListener>(std::move(below), context_);
}

}  // namespace steppe::tls
