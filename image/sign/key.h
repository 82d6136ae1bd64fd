#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "init/base/bytes.h"
#include "init/base/result.h"

struct evp_pkey_st;
struct x509_st;

namespace steppe::sign {

// SHA-256: 32 bytes, and as 64 hexadecimal digits.
std::string sha256(ByteView bytes);
std::string sha256_hex(ByteView bytes);
// For formats that demand it beside a better one; nothing here relies on it.
std::string sha1_hex(ByteView bytes);

struct PrivateKeyFree {
  void operator()(evp_pkey_st* key) const;
};
struct CertificateFree {
  void operator()(x509_st* certificate) const;
};

// An RSA key of 2048 to 8192 bits, read from PEM (PKCS#8 or PKCS#1, not encrypted).
class PrivateKey {
 public:
  static Result<PrivateKey> parse(std::string_view pem, const std::string& name);
  static Result<PrivateKey> generate(int bits);  // by libcrypto's own random numbers
  std::string pem() const;                       // PKCS#8
  // RSASSA-PKCS1-v1_5 over SHA-256: same key and data, same bytes.
  Result<std::string> sign(std::string_view data) const;
  evp_pkey_st* get() const { return key_.get(); }

 private:
  std::unique_ptr<evp_pkey_st, PrivateKeyFree> key_;
};

// An X.509 certificate. Its dates are not looked at: firmware does not either, and a node's clock may be wrong.
class Certificate {
 public:
  static Result<Certificate> parse_pem(std::string_view pem, const std::string& name);
  static Result<Certificate> parse_der(std::string_view der);
  // Self-signed for `key`, which may sign programs; valid from 2020 to 2049, its serial taken from the key: same key
  // and name, same bytes. `name` becomes the common name (1 to 64 bytes).
  static Result<Certificate> self_signed(const PrivateKey& key, const std::string& name);

  std::string pem() const;
  const std::string& der() const { return der_; }
  std::string subject() const;  // "CN=…"
  std::string fingerprint() const { return sha256_hex(as_bytes(der_)); }
  std::string issuer_and_serial() const;  // DER of the PKCS#7 structure
  bool belongs_to(const PrivateKey& key) const;
  bool signed_by(const Certificate& issuer) const;
  // Whether `signature` is the RSASSA-PKCS1-v1_5/SHA-256 signature of `data` by this certificate's key.
  bool verifies(std::string_view data, std::string_view signature) const;

 private:
  std::unique_ptr<x509_st, CertificateFree> certificate_;
  std::string der_;
};

}  // namespace steppe::sign
