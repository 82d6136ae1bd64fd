#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "init/upgrade/verify/fitness.h"

namespace {

class InputBytes final : public steppe::verify::ImageBytes {
 public:
  explicit InputBytes(steppe::ByteView bytes) : bytes_(bytes) {}
  uint64_t size() const override { return bytes_.size(); }
  steppe::Result<> read(uint64_t offset, steppe::ByteSpan into) override {
    if (offset > bytes_.size() || bytes_.size() - offset < into.size()) std::abort();
    std::ranges::copy(bytes_.subspan(offset, into.size()), into.begin());
    return {};
  }

 private:
  steppe::ByteView bytes_;
};

// A certificate that trusts nothing that the fuzzer could make: RSA 2048, CN=fuzz.
const std::string& trusted() {
  static const std::string der = [] {
    const char* pem =
#include "tests/fuzz/image_fuzz_certificate.inc"
        ;
    return *steppe::verify::certificate_der(steppe::as_bytes(pem));
  }();
  return der;
}

}  // namespace

// The file as an image, as a PKCS#7 signature, as a certificate and as a verdict. None may be fit.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace steppe;
  using namespace steppe::verify;
  ByteView input(reinterpret_cast<const std::byte*>(data), size);
  InputBytes bytes(input);
  Requirements wanted{.keys = {.trusted = {trusted()}}, .arch = "x86-64"};
  (void)describe_image(bytes);
  if (check_image(bytes, wanted).ok()) std::abort();
  if (check_signature(input, Digest{}, wanted.keys).ok()) std::abort();
  (void)certificate_der(input);
  (void)decode_verdict(input);
  return 0;
}
