#include "init/upgrade/verify/signature.h"

#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/pem.h>
#include <openssl/pkcs7.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <memory>

namespace steppe::verify {

namespace {

template <auto Free>
struct Freed {
  template <class T>
  void operator()(T* object) const { Free(object); }
};
using Pkcs7 = std::unique_ptr<PKCS7, Freed<PKCS7_free>>;
using Certificate = std::unique_ptr<X509, Freed<X509_free>>;
using Store = std::unique_ptr<X509_STORE, Freed<X509_STORE_free>>;
using Memory = std::unique_ptr<BIO, Freed<BIO_free_all>>;
using Stack = std::unique_ptr<STACK_OF(X509), Freed<[](STACK_OF(X509)* stack) { sk_X509_free(stack); }>>;

constexpr std::string_view kIndirectData = "1.3.6.1.4.1.311.2.1.4";
constexpr std::string_view kSha256Oid("\x60\x86\x48\x01\x65\x03\x04\x02\x01", 9);

std::string openssl_reason() {
  unsigned long code = ERR_peek_last_error();
  const char* reason = code ? ERR_reason_error_string(code) : nullptr;
  ERR_clear_error();
  return reason ? reason : "no reason given";
}

// One DER element: definite lengths only, minimal enough to find our way in SpcIndirectDataContent.
struct Element {
  uint8_t tag = 0;
  ByteView content;
};
bool next(ByteView& rest, Element& out) {
  if (rest.size() < 2) return false;
  out.tag = static_cast<uint8_t>(rest[0]);
  size_t length = static_cast<uint8_t>(rest[1]), header = 2;
  if (length >= 0x80) {
    size_t octets = length & 0x7f;
    if (octets == 0 || octets > 3 || rest.size() < 2 + octets) return false;
    length = 0;
    for (size_t i = 0; i < octets; i++) length = length << 8 | static_cast<uint8_t>(rest[2 + i]);
    header += octets;
  }
  if (rest.size() - header < length) return false;
  out.content = rest.subspan(header, length);
  rest = rest.subspan(header + length);
  return true;
}

// SpcIndirectDataContent ::= SEQUENCE { data ANY, messageDigest SEQUENCE { SEQUENCE { OID, NULL }, OCTET STRING } }; `content` is
// what stands inside the outer SEQUENCE.
Result<Digest> signed_digest(ByteView content) {
  Element data, message, algorithm, oid, octets;
  if (!next(content, data) || data.tag != 0x30 || !next(content, message) || message.tag != 0x30 || !content.empty())
    return {Code::kInvalid, "signature: its content is not SpcIndirectData"};
  ByteView rest = message.content;
  if (!next(rest, algorithm) || algorithm.tag != 0x30 || !next(rest, octets) || octets.tag != 0x04 || !rest.empty())
    return {Code::kInvalid, "signature: it holds no digest"};
  ByteView inside = algorithm.content;
  if (!next(inside, oid) || oid.tag != 0x06 || as_text(oid.content) != kSha256Oid)
    return {Code::kUnsupported, "signature: its digest is not SHA-256"};
  Digest digest;
  if (octets.content.size() != digest.size()) return {Code::kInvalid, "signature: its digest has the wrong length"};
  std::ranges::copy(octets.content, digest.begin());
  return digest;
}

Result<Store> store_of(const MachineKeys& keys) {
  if (keys.trusted.empty()) return {Code::kDenied, "this machine has no keys to check images with"};
  if (keys.trusted.size() > kMaxTrusted) return {Code::kExhausted, "more than 64 trusted certificates"};
  Store store(X509_STORE_new());
  if (!store) return {Code::kExhausted, "no memory for the trusted certificates"};
  for (const std::string& der : keys.trusted) {
    auto bytes = reinterpret_cast<const unsigned char*>(der.data());
    Certificate certificate(d2i_X509(nullptr, &bytes, static_cast<long>(der.size())));
    if (!certificate || X509_STORE_add_cert(store.get(), certificate.get()) != 1)
      return {Code::kInvalid, "a trusted certificate cannot be read: " + openssl_reason()};
  }
  X509_STORE_set_flags(store.get(), X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_NO_CHECK_TIME);
  X509_STORE_set_purpose(store.get(), X509_PURPOSE_ANY);
  return store;
}

Result<std::string> der_of(X509* certificate) {
  unsigned char* bytes = nullptr;
  int length = i2d_X509(certificate, &bytes);
  if (length <= 0) return {Code::kInvalid, "a certificate cannot be written: " + openssl_reason()};
  std::string der(reinterpret_cast<char*>(bytes), static_cast<size_t>(length));
  OPENSSL_free(bytes);
  return der;
}

std::string name_of(X509* certificate) {
  char text[256] = {};
  X509_NAME_oneline(X509_get_subject_name(certificate), text, sizeof text);
  return text;
}

// What is signed: the octets inside the outer SEQUENCE of the content.
Result<ByteView> content_of(PKCS7* signature) {
  if (!PKCS7_type_is_signed(signature) || !signature->d.sign || !signature->d.sign->contents)
    return {Code::kInvalid, "signature: not PKCS#7 signed data"};
  PKCS7* contents = signature->d.sign->contents;
  char oid[64] = {};
  OBJ_obj2txt(oid, sizeof oid, contents->type, 1);
  const ASN1_TYPE* other = contents->d.other;
  if (kIndirectData != oid || !other || other->type != V_ASN1_SEQUENCE || !other->value.sequence)
    return {Code::kInvalid, "signature: its content is not SpcIndirectData"};
  ByteView whole(reinterpret_cast<const std::byte*>(other->value.sequence->data), static_cast<size_t>(std::max(0, other->value.sequence->length)));
  Element outer;
  if (!next(whole, outer) || outer.tag != 0x30 || !whole.empty()) return {Code::kInvalid, "signature: its content is damaged"};
  return outer.content;
}

Result<> check_signer(X509* signer, const MachineKeys& keys) {
  STEPPE_TRY(std::string der, der_of(signer));
  if (std::ranges::find(keys.refused_signers, upgrade::sha256(as_bytes(der))) != keys.refused_signers.end())
    return {Code::kDenied, "signature: its signer " + name_of(signer) + " is refused on this machine"};
  EVP_PKEY* key = X509_get0_pubkey(signer);
  if (!key || EVP_PKEY_get_security_bits(key) < 112) return {Code::kDenied, "signature: the key of " + name_of(signer) + " is too weak"};
  return {};
}

}  // namespace

Result<std::string> certificate_der(ByteView text) {
  if (text.size() > 64 << 10) return {Code::kExhausted, "a certificate has 64 KiB at most"};
  Memory memory(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  Certificate certificate(PEM_read_bio_X509(memory.get(), nullptr, nullptr, nullptr));
  if (!certificate) {
    auto bytes = reinterpret_cast<const unsigned char*>(text.data());
    certificate.reset(d2i_X509(nullptr, &bytes, static_cast<long>(text.size())));
  }
  ERR_clear_error();
  if (!certificate) return {Code::kInvalid, "neither a PEM nor a DER certificate"};
  return der_of(certificate.get());
}

Result<std::string> check_signature(ByteView pkcs7, const Digest& digest, const MachineKeys& keys) {
  ERR_clear_error();
  STEPPE_TRY(Store store, store_of(keys));
  auto bytes = reinterpret_cast<const unsigned char*>(pkcs7.data());
  Pkcs7 signature(d2i_PKCS7(nullptr, &bytes, static_cast<long>(pkcs7.size())));
  if (!signature) return {Code::kInvalid, "signature: cannot be read: " + openssl_reason()};
  STEPPE_TRY(ByteView content, content_of(signature.get()));
  STEPPE_TRY(Digest said, signed_digest(content));
  if (said != digest) return {Code::kCorrupt, "the file is not what was signed: its digest is " + hex(digest) + ", the signature's " + hex(said)};
  if (sk_PKCS7_SIGNER_INFO_num(PKCS7_get_signer_info(signature.get())) != 1) return {Code::kInvalid, "signature: expected one signer"};
  Stack signers(PKCS7_get0_signers(signature.get(), nullptr, 0));
  if (!signers || sk_X509_num(signers.get()) != 1) return {Code::kInvalid, "signature: its signer's certificate is missing"};
  X509* signer = sk_X509_value(signers.get(), 0);
  Memory memory(BIO_new_mem_buf(content.data(), static_cast<int>(content.size())));
  if (!memory || PKCS7_verify(signature.get(), nullptr, store.get(), memory.get(), nullptr, PKCS7_BINARY) != 1)
    return {Code::kDenied, "signed by " + name_of(signer) + ", whom this machine does not trust, or forged (" + openssl_reason() + ")"};
  STEPPE_TRY_VOID(check_signer(signer, keys));
  return name_of(signer);
}

}  // namespace steppe::verify
