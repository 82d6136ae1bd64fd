#include "image/sign/authenticode.h"

#include <algorithm>
#include <format>

#include "image/sign/der.h"

namespace steppe::sign {
namespace {

using namespace std::string_view_literals;

// Object identifiers, encoded.
constexpr std::string_view kSignedData = "\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02"sv;        // 1.2.840.113549.1.7.2
constexpr std::string_view kContentType = "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x03"sv;       // 1.2.840.113549.1.9.3
constexpr std::string_view kMessageDigest = "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x04"sv;     // 1.2.840.113549.1.9.4
constexpr std::string_view kRsa = "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01"sv;               // 1.2.840.113549.1.1.1
constexpr std::string_view kRsaSha256 = "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b"sv;         // 1.2.840.113549.1.1.11
constexpr std::string_view kSha256 = "\x60\x86\x48\x01\x65\x03\x04\x02\x01"sv;            // 2.16.840.1.101.3.4.2.1
constexpr std::string_view kIndirectData = "\x2b\x06\x01\x04\x01\x82\x37\x02\x01\x04"sv;  // 1.3.6.1.4.1.311.2.1.4
constexpr std::string_view kPeImageData = "\x2b\x06\x01\x04\x01\x82\x37\x02\x01\x0f"sv;   // 1.3.6.1.4.1.311.2.1.15
// SpcPeImageData: no flags, and a file name that is the empty string.
constexpr std::string_view kPeImage = "\x30\x09\x03\x01\x00\xa0\x04\xa2\x02\x80\x00"sv;

constexpr uint16_t kRevision = 0x0200, kPkcs = 0x0002;  // WIN_CERTIFICATE
constexpr size_t kMaxSignatures = 16, kMaxCertificates = 16;

std::string oid(std::string_view encoded) { return der(kOid, encoded); }
std::string algorithm(std::string_view encoded) { return der(kSequence, oid(encoded) + der(kNull, "")); }

// SpcIndirectDataContent's content: what is signed, without its own tag and length.
std::string indirect_data(std::string_view digest) {
  return der(kSequence, oid(kPeImageData) + std::string(kPeImage)) +
         der(kSequence, algorithm(kSha256) + der(kOctetString, digest));
}

Result<std::string> make_pkcs7(std::string_view digest, const PrivateKey& key, const Certificate& certificate) {
  const std::string content = indirect_data(digest);
  // In DER's order of a SET OF: the shorter encoding first.
  const std::string attributes =
      der(kSequence, oid(kContentType) + der(kSet, oid(kIndirectData))) +
      der(kSequence, oid(kMessageDigest) + der(kSet, der(kOctetString, sha256(as_bytes(content)))));
  STEPPE_TRY(const std::string signature, key.sign(der(kSet, attributes)));
  const std::string version = der(kInteger, "\x01");
  const std::string signer =
      der(kSequence, version + certificate.issuer_and_serial() + algorithm(kSha256) + der(context(0), attributes) +
                         algorithm(kRsa) + der(kOctetString, signature));
  const std::string inner = der(kSequence, oid(kIndirectData) + der(context(0), der(kSequence, content)));
  const std::string data = der(kSequence, version + der(kSet, algorithm(kSha256)) + inner +
                                              der(context(0), certificate.der()) + der(kSet, signer));
  return der(kSequence, oid(kSignedData) + der(context(0), data));
}

// What one PKCS#7 structure says, taken apart.
struct Parsed {
  std::string_view content;  // of SpcIndirectDataContent
  std::string_view digest;   // in it
  std::vector<std::string_view> certificates;
  std::string_view attributes;  // content of the signed attributes
  std::string_view message_digest;
  std::string_view issuer_and_serial;  // whole
  std::string_view signature;
};

Result<> expect_oid(DerReader& reader, std::string_view wanted, std::string_view what) {
  STEPPE_TRY(const auto found, reader.next(kOid, what));
  if (found.content != wanted) return Error(Code::kCorrupt, std::format("signature: unexpected {}", what));
  return {};
}

Result<> expect_algorithm(DerReader& reader, std::string_view wanted, std::string_view other, std::string_view what) {
  STEPPE_TRY(const auto sequence, reader.next(kSequence, what));
  DerReader inner(sequence.content);
  STEPPE_TRY(const auto found, inner.next(kOid, what));
  if (found.content != wanted && found.content != other)
    return Error(Code::kUnsupported, std::format("signature: {}: only SHA-256 and RSA are known", what));
  return {};
}

Result<> parse_content(DerReader& data, Parsed& out) {
  STEPPE_TRY(const auto info, data.next(kSequence, "content info"));
  DerReader inner(info.content);
  STEPPE_TRY_VOID(expect_oid(inner, kIndirectData, "content type"));
  STEPPE_TRY(const auto wrapped, inner.next(context(0), "content"));
  STEPPE_TRY(const auto content, DerReader(wrapped.content).next(kSequence, "indirect data"));
  out.content = content.content;
  DerReader parts(content.content);
  STEPPE_TRY(const auto image, parts.next(kSequence, "image data"));
  DerReader image_parts(image.content);
  STEPPE_TRY_VOID(expect_oid(image_parts, kPeImageData, "kind of data"));
  STEPPE_TRY(const auto digest_info, parts.next(kSequence, "digest info"));
  DerReader digest_parts(digest_info.content);
  STEPPE_TRY_VOID(expect_algorithm(digest_parts, kSha256, kSha256, "digest of the file"));
  STEPPE_TRY(const auto digest, digest_parts.next(kOctetString, "digest"));
  out.digest = digest.content;
  return {};
}

Result<> parse_attributes(std::string_view attributes, Parsed& out) {
  bool typed = false;
  DerReader reader(attributes);
  while (!reader.done()) {
    STEPPE_TRY(const auto attribute, reader.next(kSequence, "attribute"));
    DerReader inner(attribute.content);
    STEPPE_TRY(const auto type, inner.next(kOid, "attribute type"));
    STEPPE_TRY(const auto values, inner.next(kSet, "attribute values"));
    DerReader value(values.content);
    if (type.content == kMessageDigest) {
      STEPPE_TRY(const auto digest, value.next(kOctetString, "message digest"));
      out.message_digest = digest.content;
    } else if (type.content == kContentType) {
      STEPPE_TRY_VOID(expect_oid(value, kIndirectData, "content type attribute"));
      typed = true;
    }
  }
  if (!typed || out.message_digest.empty())
    return Error(Code::kCorrupt, "signature: content type or digest is missing from the signed attributes");
  return {};
}

Result<> parse_signer(DerReader& data, Parsed& out) {
  STEPPE_TRY(const auto signers, data.next(kSet, "signers"));
  DerReader signer_list(signers.content);
  STEPPE_TRY(const auto signer, signer_list.next(kSequence, "signer"));
  if (!signer_list.done()) return Error(Code::kUnsupported, "signature: more than one signer in one structure");
  DerReader parts(signer.content);
  STEPPE_TRY_VOID(parts.next(kInteger, "version"));
  STEPPE_TRY(const auto identity, parts.next(kSequence, "issuer and serial"));
  out.issuer_and_serial = identity.whole;
  STEPPE_TRY_VOID(expect_algorithm(parts, kSha256, kSha256, "digest"));
  STEPPE_TRY(const auto attributes, parts.next(context(0), "signed attributes"));
  out.attributes = attributes.content;
  STEPPE_TRY_VOID(parse_attributes(attributes.content, out));
  STEPPE_TRY_VOID(expect_algorithm(parts, kRsa, kRsaSha256, "signature"));
  STEPPE_TRY(const auto signature, parts.next(kOctetString, "signature"));
  out.signature = signature.content;
  return {};
}

Result<Parsed> parse_pkcs7(std::string_view bytes) {
  Parsed out;
  STEPPE_TRY(const auto outer, DerReader(bytes).next(kSequence, "PKCS#7"));
  DerReader info(outer.content);
  STEPPE_TRY_VOID(expect_oid(info, kSignedData, "kind of PKCS#7"));
  STEPPE_TRY(const auto wrapped, info.next(context(0), "signed data"));
  STEPPE_TRY(const auto sequence, DerReader(wrapped.content).next(kSequence, "signed data"));
  DerReader data(sequence.content);
  STEPPE_TRY_VOID(data.next(kInteger, "version"));
  STEPPE_TRY_VOID(data.next(kSet, "digest algorithms"));
  STEPPE_TRY_VOID(parse_content(data, out));
  if (data.at(context(0))) {
    STEPPE_TRY(const auto all, data.next());
    DerReader list(all.content);
    while (!list.done()) {
      STEPPE_TRY(const auto one, list.next(kSequence, "certificate"));
      if (out.certificates.size() == kMaxCertificates)
        return Error(Code::kExhausted, "signature: more than 16 certificates");
      out.certificates.push_back(one.whole);
    }
  }
  if (data.at(context(1))) STEPPE_TRY_VOID(data.next());  // revocation lists: not looked at
  STEPPE_TRY_VOID(parse_signer(data, out));
  return out;
}

// The PKCS#7 structures of the certificate table.
Result<std::vector<std::string_view>> signatures_of(ByteView file, const uki::Pe& pe) {
  std::vector<std::string_view> out;
  std::string_view table = as_text(file.subspan(pe.certificate_offset, pe.certificate_size));
  while (!table.empty()) {
    if (table.size() < 8) return Error(Code::kCorrupt, "the certificate table ends inside a header");
    const uint32_t length = load_le<uint32_t>(table.data());
    if (length < 8 || length > table.size())
      return Error(Code::kCorrupt, "a certificate of the table has a wrong length");
    if (load_le<uint16_t>(table.data() + 4) == kRevision && load_le<uint16_t>(table.data() + 6) == kPkcs)
      out.push_back(table.substr(8, length - 8));
    if (out.size() > kMaxSignatures) return Error(Code::kExhausted, "more than 16 signatures");
    table.remove_prefix(std::min<size_t>(table.size(), (length + 7u) / 8 * 8));
  }
  return out;
}

Result<Signature> check(const Parsed& parsed, std::string_view digest, const std::vector<Certificate>& trusted) {
  if (parsed.digest != digest) return Error(Code::kDenied, "the file was changed after it was signed");
  if (parsed.message_digest != sha256(as_bytes(parsed.content)))
    return Error(Code::kDenied, "the signature's own digest does not match");
  for (const std::string_view encoded : parsed.certificates) {
    auto certificate = Certificate::parse_der(encoded);
    if (!certificate.ok() || certificate->issuer_and_serial() != parsed.issuer_and_serial) continue;
    const bool known = std::ranges::any_of(trusted, [&](const Certificate& one) {
      return one.der() == certificate->der() || certificate->signed_by(one);
    });
    if (!known)
      return Error(Code::kDenied, std::format("signed by {} ({}), which is not trusted", certificate->subject(),
                                              certificate->fingerprint()));
    if (!certificate->verifies(der(kSet, parsed.attributes), parsed.signature))
      return Error(Code::kDenied, std::format("the signature is not one of {}", certificate->subject()));
    return Signature{certificate->subject(), certificate->fingerprint()};
  }
  return Error(Code::kCorrupt, "the signer's certificate is not in the signature");
}

}  // namespace

std::string authenticode_digest(ByteView file, const uki::Pe& pe) {
  const size_t end = pe.certificate_size != 0 ? pe.certificate_offset : file.size();
  std::string covered;
  covered.reserve(end + 8);
  covered += as_text(file.first(pe.checksum_offset));
  covered += as_text(file.subspan(pe.checksum_offset + 4, pe.directory_offset - pe.checksum_offset - 4));
  covered += as_text(file.subspan(pe.directory_offset + 8, end - pe.directory_offset - 8));
  covered.append((8 - end % 8) % 8, '\0');  // the table begins on such a boundary
  return sha256(as_bytes(covered));
}

Result<std::string> strip_signatures(ByteView file) {
  STEPPE_TRY(const uki::Pe pe, uki::read_pe(file));
  std::string out(as_text(file.first(pe.certificate_size != 0 ? pe.certificate_offset : file.size())));
  std::memset(out.data() + pe.directory_offset, 0, 8);
  store_le(out.data() + pe.checksum_offset, uki::pe_checksum(as_bytes(out), pe.checksum_offset));
  return out;
}

Result<std::string> sign_digest(std::string_view digest, const PrivateKey& key, const Certificate& certificate) {
  if (!certificate.belongs_to(key))
    return Error(Code::kInvalid, std::format("the certificate of {} is not one for this key", certificate.subject()));
  if (digest.size() != 32) return Error(Code::kInvalid, "expected a SHA-256 to sign");
  return make_pkcs7(digest, key, certificate);
}

Result<std::string> sign_program(ByteView file, const PrivateKey& key, const Certificate& certificate) {
  if (!certificate.belongs_to(key))
    return Error(Code::kInvalid, std::format("the certificate of {} is not one for this key", certificate.subject()));
  STEPPE_TRY(std::string out, strip_signatures(file));
  out.append((8 - out.size() % 8) % 8, '\0');
  STEPPE_TRY(const uki::Pe pe, uki::read_pe(as_bytes(out)));
  STEPPE_TRY(std::string pkcs7, make_pkcs7(authenticode_digest(as_bytes(out), pe), key, certificate));
  const size_t padded = (pkcs7.size() + 7) / 8 * 8;
  pkcs7.resize(padded, '\0');
  const uint32_t offset = static_cast<uint32_t>(out.size()), size = static_cast<uint32_t>(8 + padded);
  char header[8];
  store_le(header, size);
  store_le(header + 4, kRevision);
  store_le(header + 6, kPkcs);
  out.append(header, 8);
  out += pkcs7;
  store_le(out.data() + pe.directory_offset, offset);
  store_le(out.data() + pe.directory_offset + 4, size);
  store_le(out.data() + pe.checksum_offset, uki::pe_checksum(as_bytes(out), pe.checksum_offset));
  return out;
}

Result<std::vector<Signature>> claimed_signers(ByteView file) {
  STEPPE_TRY(const uki::Pe pe, uki::read_pe(file));
  STEPPE_TRY(const auto signatures, signatures_of(file, pe));
  std::vector<Signature> out;
  for (const std::string_view bytes : signatures) {
    STEPPE_TRY(const Parsed parsed, parse_pkcs7(bytes));
    for (const std::string_view encoded : parsed.certificates) {
      auto certificate = Certificate::parse_der(encoded);
      if (certificate.ok() && certificate->issuer_and_serial() == parsed.issuer_and_serial)
        out.push_back({certificate->subject(), certificate->fingerprint()});
    }
  }
  return out;
}

Result<Signature> verify_program(ByteView file, const std::vector<Certificate>& trusted) {
  STEPPE_TRY(const uki::Pe pe, uki::read_pe(file));
  if (pe.certificate_size == 0) return Error(Code::kDenied, "the file is not signed");
  STEPPE_TRY(const auto signatures, signatures_of(file, pe));
  if (signatures.empty()) return Error(Code::kDenied, "the file is not signed");
  const std::string digest = authenticode_digest(file, pe);
  Error first(Code::kDenied, "the file is not signed");
  bool failed = false;
  for (const std::string_view bytes : signatures) {
    auto parsed = parse_pkcs7(bytes);
    Result<Signature> found = parsed.ok() ? check(*parsed, digest, trusted) : Result<Signature>(parsed.error());
    if (found.ok()) return found;
    if (!failed) first = found.error();
    failed = true;
  }
  return first;
}

}  // namespace steppe::sign
