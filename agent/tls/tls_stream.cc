#include "agent/tls/tls_stream.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include <format>
#include <vector>

namespace steppe::tls {
namespace {

std::string openssl_text() {
  unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (code == 0) return "protocol error";
  char text[256];
  ERR_error_string_n(code, text, sizeof text);
  return text;
}

// OpenSSL works on two memory buffers; we carry their bytes to and from the stream.
class TlsStream final : public io::Stream {
 public:
  TlsStream(std::unique_ptr<io::Stream> below, SSL_CTX* context, SSL* ssl) : below_(std::move(below)), context_(context), ssl_(ssl) {
    in_ = BIO_new(BIO_s_mem());
    out_ = BIO_new(BIO_s_mem());
    BIO_set_mem_eof_return(in_, -1);
    SSL_set_bio(ssl_, in_, out_);
  }
  ~TlsStream() override {
    SSL_free(ssl_);
    SSL_CTX_free(context_);
  }

  io::Task<Result<>> handshake(io::Deadline deadline) {
    while (true) {
      int code = SSL_connect(ssl_);
      STEPPE_CO_TRY_VOID(co_await flush(deadline));
      if (code == 1) co_return Result<>();
      if (SSL_get_error(ssl_, code) != SSL_ERROR_WANT_READ) {
        long verdict = SSL_get_verify_result(ssl_);
        std::string why = verdict != X509_V_OK ? X509_verify_cert_error_string(verdict) : openssl_text();
        co_return Error(Code::kDenied, "TLS handshake: " + why);
      }
      STEPPE_CO_TRY(bool more, co_await fill(deadline));
      if (!more) co_return Error(Code::kIo, "TLS handshake: the peer closed the connection");
    }
  }

  io::Task<Result<size_t>> read(ByteSpan into, io::Deadline deadline) override {
    while (true) {
      size_t n = 0;
      int code = SSL_read_ex(ssl_, into.data(), into.size(), &n);
      STEPPE_CO_TRY_VOID(co_await flush(deadline));
      if (code == 1) co_return n;
      int why = SSL_get_error(ssl_, code);
      if (why == SSL_ERROR_ZERO_RETURN) co_return size_t{0};
      if (why != SSL_ERROR_WANT_READ) co_return Error(Code::kIo, "TLS: " + openssl_text());
      STEPPE_CO_TRY(bool more, co_await fill(deadline));
      // Without the peer's close_notify the end may be an attacker's.
      if (!more) co_return Error(Code::kIo, "TLS: the connection was cut");
    }
  }

  io::Task<Result<>> write(ByteView bytes, io::Deadline deadline) override {
    while (!bytes.empty()) {
      size_t n = 0;
      int code = SSL_write_ex(ssl_, bytes.data(), bytes.size(), &n);
      STEPPE_CO_TRY_VOID(co_await flush(deadline));
      if (code == 1) {
        bytes = bytes.subspan(n);
        continue;
      }
      if (SSL_get_error(ssl_, code) != SSL_ERROR_WANT_READ) co_return Error(Code::kIo, "TLS: " + openssl_text());
      STEPPE_CO_TRY(bool more, co_await fill(deadline));
      if (!more) co_return Error(Code::kIo, "TLS: the connection was cut");
    }
    co_return Result<>();
  }

  Result<> shutdown_write() override { return below_->shutdown_write(); }
  io::Address peer() const override { return below_->peer(); }

 private:
  io::Task<Result<>> flush(io::Deadline deadline) {
    std::byte buffer[16384];
    while (BIO_ctrl_pending(out_) > 0) {
      int n = BIO_read(out_, buffer, sizeof buffer);
      if (n <= 0) break;
      STEPPE_CO_TRY_VOID(co_await below_->write({buffer, static_cast<size_t>(n)}, deadline));
    }
    co_return Result<>();
  }
  io::Task<Result<bool>> fill(io::Deadline deadline) {
    std::byte buffer[16384];
    STEPPE_CO_TRY(size_t n, co_await below_->read(buffer, deadline));
    if (n > 0) BIO_write(in_, buffer, static_cast<int>(n));
    co_return n > 0;
  }

  std::unique_ptr<io::Stream> below_;
  SSL_CTX* context_;
  SSL* ssl_;
  BIO* in_;
  BIO* out_;
};

}  // namespace

io::Task<Result<std::unique_ptr<io::Stream>>> start_tls(std::unique_ptr<io::Stream> stream, std::string host, Verify verify, io::Deadline deadline) {
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  if (context == nullptr) co_return Error(Code::kExhausted, "TLS: " + openssl_text());
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_default_verify_paths(context);
  SSL_CTX_set_verify(context, verify == Verify::kYes ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
  SSL* ssl = SSL_new(context);
  if (ssl == nullptr) {
    SSL_CTX_free(context);
    co_return Error(Code::kExhausted, "TLS: " + openssl_text());
  }
  auto out = std::make_unique<TlsStream>(std::move(stream), context, ssl);
  bool address = io::Address::parse(host.find(':') != host.npos ? "[" + host + "]:1" : host + ":1").ok();
  if (address) {
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host.c_str());
  } else {
    SSL_set_tlsext_host_name(ssl, host.c_str());
    SSL_set1_host(ssl, host.c_str());
  }
  STEPPE_CO_TRY_VOID(co_await out->handshake(deadline));
  co_return std::unique_ptr<io::Stream>(std::move(out));
}

std::unique_ptr<io::Stream> serve_tls(std::unique_ptr<io::Stream> stream, void* context) {
  auto* shared = static_cast<SSL_CTX*>(context);
  SSL* ssl = SSL_new(shared);
  if (ssl == nullptr) return nullptr;
  SSL_CTX_up_ref(shared);
  SSL_set_accept_state(ssl);
  return std::make_unique<TlsStream>(std::move(stream), shared, ssl);
}

}  // namespace steppe::tls
