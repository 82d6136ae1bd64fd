#include "image/sign/key.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <format>

#include "image/sign/der.h"

namespace steppe::sign {
namespace {

using Bio = std::unique_ptr<BIO, decltype(&BIO_free)>;
using Digest = std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)>;

Bio reader(std::string_view text) { return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())), BIO_free); }

std::string take(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return {data, static_cast<size_t>(std::max(size, 0L))};
}

Error failed(Code code, std::string_view what) {
  char text[256] = "no reason given";
  if (const unsigned long number = ERR_peek_last_error(); number != 0) ERR_error_string_n(number, text, sizeof text);
  ERR_clear_error();
  return Error(code, std::format("{}: {}", what, text));
}

const unsigned char* bytes(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }

int no_password(char*, int, int, void*) { return -1; }

Result<> add_extension(X509* certificate, int kind, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, kind, value);
  if (extension == nullptr) return failed(Code::kIo, "make a certificate's extension");
  const int added = X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
  if (added != 1) return failed(Code::kIo, "add a certificate's extension");
  return {};
}

}  // namespace

void PrivateKeyFree::operator()(evp_pkey_st* key) const { EVP_PKEY_free(key); }
void CertificateFree::operator()(x509_st* certificate) const { X509_free(certificate); }

std::string sha256(ByteView data) {
  std::string out(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const unsigned char*>(data.data()), data.size(),
         reinterpret_cast<unsigned char*>(out.data()));
  return out;
}
std::string sha256_hex(ByteView data) { return hex(as_bytes(sha256(data))); }
std::string sha1_hex(ByteView data) {
  std::string out(SHA_DIGEST_LENGTH, '\0');
  SHA1(reinterpret_cast<const unsigned char*>(data.data()), data.size(), reinterpret_cast<unsigned char*>(out.data()));
  return hex(as_bytes(out));
}

Result<PrivateKey> PrivateKey::parse(std::string_view pem, const std::string& name) {
  PrivateKey key;
  key.key_.reset(PEM_read_bio_PrivateKey(reader(pem).get(), nullptr, no_password, nullptr));
  if (!key.key_) return failed(Code::kInvalid, std::format("{}: no private key in PEM without a password", name));
  const int bits = EVP_PKEY_get_bits(key.key_.get());
  if (EVP_PKEY_get_base_id(key.key_.get()) != EVP_PKEY_RSA || bits < 2048 || bits > 8192)
    return Error(Code::kInvalid,
                 std::format("{}: expected an RSA key of 2048 to 8192 bits, as firmware knows no other", name));
  return key;
}

Result<PrivateKey> PrivateKey::generate(int bits) {
  PrivateKey key;
  key.key_.reset(EVP_RSA_gen(static_cast<unsigned>(bits)));
  if (!key.key_) return failed(Code::kIo, "make an RSA key");
  return key;
}

std::string PrivateKey::pem() const {
  Bio bio(BIO_new(BIO_s_mem()), BIO_free);
  PEM_write_bio_PrivateKey(bio.get(), key_.get(), nullptr, nullptr, 0, nullptr, nullptr);
  return take(bio.get());
}

Result<std::string> PrivateKey::sign(std::string_view data) const {
  Digest context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  size_t size = 0;
  if (EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key_.get()) != 1 ||
      EVP_DigestSign(context.get(), nullptr, &size, bytes(data), data.size()) != 1)
    return failed(Code::kIo, "sign");
  std::string out(size, '\0');
  if (EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(out.data()), &size, bytes(data), data.size()) != 1)
    return failed(Code::kIo, "sign");
  out.resize(size);
  return out;
}

Result<Certificate> Certificate::parse_der(std::string_view der) {
  Certificate out;
  const unsigned char* at = bytes(der);
  out.certificate_.reset(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  if (!out.certificate_ || at != bytes(der) + der.size()) return failed(Code::kCorrupt, "no X.509 certificate");
  out.der_ = der;
  return out;
}

Result<Certificate> Certificate::parse_pem(std::string_view pem, const std::string& name) {
  std::unique_ptr<X509, CertificateFree> read(PEM_read_bio_X509(reader(pem).get(), nullptr, no_password, nullptr));
  if (!read) return failed(Code::kInvalid, std::format("{}: no certificate in PEM", name));
  unsigned char* out = nullptr;
  const int size = i2d_X509(read.get(), &out);
  if (size <= 0) return failed(Code::kInvalid, name);
  const std::string der(reinterpret_cast<char*>(out), static_cast<size_t>(size));
  OPENSSL_free(out);
  return parse_der(der).wrap(name);
}

Result<Certificate> Certificate::self_signed(const PrivateKey& key, const std::string& name) {
  if (name.empty() || name.size() > 64) return Error(Code::kInvalid, "the name of a certificate has 1 to 64 bytes");
  std::unique_ptr<X509, CertificateFree> made(X509_new());
  unsigned char* spki = nullptr;
  const int spki_size = i2d_PUBKEY(key.get(), &spki);
  if (spki_size <= 0) return failed(Code::kIo, "encode the public key");
  std::string serial =
      sha256(ByteView(reinterpret_cast<std::byte*>(spki), static_cast<size_t>(spki_size))).substr(0, 16);
  OPENSSL_free(spki);
  serial[0] = static_cast<char>((serial[0] & 0x3f) | 0x40);  // positive, and 16 bytes whatever the key
  std::unique_ptr<BIGNUM, decltype(&BN_free)> number(BN_bin2bn(bytes(serial), static_cast<int>(serial.size()), nullptr),
                                                     BN_free);
  X509_NAME* subject = X509_get_subject_name(made.get());
  const bool good = X509_set_version(made.get(), X509_VERSION_3) == 1 &&
                    BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(made.get())) != nullptr &&
                    ASN1_TIME_set_string_X509(X509_getm_notBefore(made.get()), "20200101000000Z") == 1 &&
                    ASN1_TIME_set_string_X509(X509_getm_notAfter(made.get()), "20491231235959Z") == 1 &&
                    X509_set_pubkey(made.get(), key.get()) == 1 &&
                    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, bytes(name), static_cast<int>(name.size()),
                                               -1, 0) == 1 &&
                    X509_set_issuer_name(made.get(), subject) == 1;
  if (!good) return failed(Code::kIo, "make a certificate");
  STEPPE_TRY_VOID(add_extension(made.get(), NID_basic_constraints, "critical,CA:TRUE"));
  STEPPE_TRY_VOID(add_extension(made.get(), NID_key_usage, "critical,digitalSignature,keyCertSign"));
  STEPPE_TRY_VOID(add_extension(made.get(), NID_ext_key_usage, "codeSigning"));
  STEPPE_TRY_VOID(add_extension(made.get(), NID_subject_key_identifier, "hash"));
  if (X509_sign(made.get(), key.get(), EVP_sha256()) <= 0) return failed(Code::kIo, "sign the certificate");
  unsigned char* out = nullptr;
  const int size = i2d_X509(made.get(), &out);
  if (size <= 0) return failed(Code::kIo, "encode the certificate");
  const std::string der(reinterpret_cast<char*>(out), static_cast<size_t>(size));
  OPENSSL_free(out);
  return parse_der(der);
}

std::string Certificate::pem() const {
  Bio bio(BIO_new(BIO_s_mem()), BIO_free);
  PEM_write_bio_X509(bio.get(), certificate_.get());
  return take(bio.get());
}

std::string Certificate::subject() const {
  Bio bio(BIO_new(BIO_s_mem()), BIO_free);
  X509_NAME_print_ex(bio.get(), X509_get_subject_name(certificate_.get()), 0,
                     XN_FLAG_RFC2253 & ~static_cast<unsigned long>(ASN1_STRFLGS_ESC_MSB));
  return take(bio.get());
}

std::string Certificate::issuer_and_serial() const {
  const unsigned char* name = nullptr;
  size_t name_size = 0;
  X509_NAME_get0_der(X509_get_issuer_name(certificate_.get()), &name, &name_size);
  unsigned char* serial = nullptr;
  const int serial_size = i2d_ASN1_INTEGER(X509_get0_serialNumber(certificate_.get()), &serial);
  std::string content(reinterpret_cast<const char*>(name), name_size);
  if (serial_size > 0) content.append(reinterpret_cast<const char*>(serial), static_cast<size_t>(serial_size));
  OPENSSL_free(serial);
  return sign::der(kSequence, content);
}

bool Certificate::belongs_to(const PrivateKey& key) const {
  const bool same = X509_check_private_key(certificate_.get(), key.get()) == 1;
  ERR_clear_error();
  return same;
}

bool Certificate::signed_by(const Certificate& issuer) const {
  if (X509_NAME_cmp(X509_get_issuer_name(certificate_.get()), X509_get_subject_name(issuer.certificate_.get())) != 0)
    return false;
  const bool good = X509_check_ca(issuer.certificate_.get()) == 1 &&
                    X509_verify(certificate_.get(), X509_get0_pubkey(issuer.certificate_.get())) == 1;
  ERR_clear_error();
  return good;
}

bool Certificate::verifies(std::string_view data, std::string_view signature) const {
  EVP_PKEY* key = X509_get0_pubkey(certificate_.get());
  bool good = false;
  if (key != nullptr && EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA && EVP_PKEY_get_bits(key) >= 2048) {
    Digest context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
    good = EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, key) == 1 &&
           EVP_DigestVerify(context.get(), bytes(signature), signature.size(), bytes(data), data.size()) == 1;
  }
  ERR_clear_error();
  return good;
}

}  // namespace steppe::sign
