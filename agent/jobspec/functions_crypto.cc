#include <crypt.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <array>
#include <format>
#include <memory>

#include "agent/jobspec/function_families.h"
#include "init/base/bytes.h"
#include "init/base/ids.h"
#include "init/base/text.h"

namespace steppe::jobspec {
namespace {

using hcl::Value;

Result<std::string> digest(const EVP_MD* kind, std::string_view data) {
  unsigned char out[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  if (EVP_Digest(data.data(), data.size(), out, &size, kind, nullptr) != 1) {
    return Error(Code::kUnsupported, "this digest is not allowed on this machine");
  }
  return std::string(reinterpret_cast<char*>(out), size);
}

template <const EVP_MD* (*kKind)()>
Result<Value> hash(Arguments a, hcl::Budget&) {
  STEPPE_TRY(std::string bytes, digest(kKind(), a[0].string()));
  return Value(hex(as_bytes(bytes)));
}

constexpr std::pair<std::string_view, std::string_view> kNamespaces[] = {
    {"dns", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"},
    {"url", "6ba7b811-9dad-11d1-80b4-00c04fd430c8"},
    {"oid", "6ba7b812-9dad-11d1-80b4-00c04fd430c8"},
    {"x500", "6ba7b814-9dad-11d1-80b4-00c04fd430c8"},
};

// RFC 9562 section 5.5: SHA-1 over the namespace's bytes and the name.
Result<Value> named_uuid(Arguments a, hcl::Budget&) {
  std::string_view space = a[0].string();
  for (auto& [name, id] : kNamespaces) {
    if (space == name) space = id;
  }
  auto id = Uuid::parse(space);
  if (!id.ok())
    return invalid(std::format("uuidv5() doesn't support namespace {}: expected dns, url, oid, x500 or a UUID",
                               space.substr(0, 64)));
  std::string data(as_text(id->bytes));
  data += a[1].string();
  STEPPE_TRY(std::string bytes, digest(EVP_sha1(), data));
  Uuid made;
  std::memcpy(made.bytes.data(), bytes.data(), made.bytes.size());
  made.bytes[6] = (made.bytes[6] & std::byte{0x0F}) | std::byte{0x50};
  made.bytes[8] = (made.bytes[8] & std::byte{0x3F}) | std::byte{0x80};
  return Value(made.text());
}

// bcrypt's own base64 of 16 bytes of salt: 22 characters.
std::string salt_text(std::span<const std::byte> salt) {
  constexpr std::string_view kAlphabet = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
  std::string out;
  uint32_t bits = 0;
  int count = 0;
  for (std::byte byte : salt) {
    bits = bits << 8 | static_cast<uint32_t>(byte);
    for (count += 8; count >= 6; count -= 6) out += kAlphabet[bits >> (count - 6) & 63];
  }
  if (count > 0) out += kAlphabet[bits << (6 - count) & 63];
  return out;
}

Result<Value> bcrypt_of(Arguments a, Rng& rng, hcl::Budget& budget) {
  int64_t cost = 10;
  if (a.size() > 2) return invalid("bcrypt() takes no more than two arguments");
  if (a.size() == 2) {
    STEPPE_TRY(Value number, convert(a[1], hcl::Type::number()));
    STEPPE_TRY(cost, whole(number));
  }
  if (cost < 4 || cost > 14) return invalid("the cost must be between 4 and 14");
  if (a[0].string().size() > 72) return invalid("bcrypt hashes at most 72 bytes");
  if (a[0].string().find('\0') != std::string::npos) return invalid("a NUL byte cannot be hashed");
  // A hash of cost 10 takes as long as some ten thousand other steps.
  STEPPE_TRY_VOID(budget.take_steps(uint64_t{16} << cost));
  std::array<std::byte, 16> salt;
  rng.fill(salt);
  std::string setting = std::format("$2a${:02}${}", cost, salt_text(salt));
  auto data = std::make_unique<crypt_data>();
  std::memset(data.get(), 0, sizeof *data);
  const char* result = crypt_r(a[0].string().c_str(), setting.c_str(), data.get());
  if (!result || result[0] == '*') return Error(Code::kUnsupported, "this machine's libcrypt cannot do bcrypt");
  return Value(result);
}

struct FreeKey {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
struct FreeContext {
  void operator()(EVP_PKEY_CTX* context) const { EVP_PKEY_CTX_free(context); }
};
struct FreeBio {
  void operator()(BIO* bio) const { BIO_free(bio); }
};

Result<Value> rsa_decrypt(Arguments a, hcl::Budget& budget) {
  auto cipher = unbase64(a[0].string());
  if (!cipher.ok()) return invalid("failed to decode input: cipher text must be base64-encoded");
  STEPPE_TRY_VOID(budget.take_steps(20000));
  const std::string& pem = a[1].string();
  std::unique_ptr<BIO, FreeBio> bio(
      BIO_new_mem_buf(pem.data(), static_cast<int>(std::min<size_t>(pem.size(), 1 << 20))));
  auto no_password = [](char*, int, int, void*) { return -1; };
  std::unique_ptr<EVP_PKEY, FreeKey> key(bio ? PEM_read_bio_PrivateKey(bio.get(), nullptr, no_password, nullptr)
                                             : nullptr);
  if (!key || EVP_PKEY_base_id(key.get()) != EVP_PKEY_RSA)
    return invalid("failed to parse key: an RSA private key in PEM form without a password is needed");
  std::unique_ptr<EVP_PKEY_CTX, FreeContext> context(EVP_PKEY_CTX_new(key.get(), nullptr));
  const auto* in = reinterpret_cast<const unsigned char*>(cipher->data());
  size_t size = 0;
  bool ready = context && EVP_PKEY_decrypt_init(context.get()) == 1 &&
               EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_PKCS1_PADDING) == 1 &&
               EVP_PKEY_decrypt(context.get(), nullptr, &size, in, cipher->size()) == 1;
  std::string out(size, '\0');
  if (!ready ||
      EVP_PKEY_decrypt(context.get(), reinterpret_cast<unsigned char*>(out.data()), &size, in, cipher->size()) != 1) {
    return invalid("failed to decrypt: the text was not encrypted for this key");
  }
  out.resize(size);
  // With a wrong key OpenSSL answers with random bytes, so that an attacker learns nothing.
  if (!is_utf8(out)) return invalid("failed to decrypt: the result is not text");
  return Value(std::move(out));
}

}  // namespace

void add_crypto(hcl::FunctionTable& table, Rng* rng) {
  add(table, "md5", {text_parameter("str")}, hash<EVP_md5>);
  add(table, "sha1", {text_parameter("str")}, hash<EVP_sha1>);
  add(table, "sha256", {text_parameter("str")}, hash<EVP_sha256>);
  add(table, "sha512", {text_parameter("str")}, hash<EVP_sha512>);
  add(table, "uuidv5", {text_parameter("namespace"), text_parameter("name")}, named_uuid);
  add(table, "rsadecrypt", {text_parameter("ciphertext"), text_parameter("privatekey")}, rsa_decrypt);
  hcl::Function uuid, bcrypt;
  uuid.call = [rng](Arguments, hcl::Budget&) -> Result<Value> {
    if (!rng) return Error(Code::kUnsupported, "random values are disabled here");
    return Value(Uuid::random(*rng).text());
  };
  bcrypt.parameters = {text_parameter("str")};
  bcrypt.rest = any_parameter("cost");
  bcrypt.call = [rng](Arguments a, hcl::Budget& budget) -> Result<Value> {
    if (!rng) return Error(Code::kUnsupported, "random values are disabled here");
    return bcrypt_of(a, *rng, budget);
  };
  table.emplace("uuidv4", std::move(uuid));
  table.emplace("bcrypt", std::move(bcrypt));
}

}  // namespace steppe::jobspec
