#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "init/frame/frame.h"
#include "init/upgrade/verify/extension.h"

namespace {

using namespace steppe;

class InputBytes final : public verify::ImageBytes {
 public:
  explicit InputBytes(std::string_view bytes) : bytes_(bytes) {}
  uint64_t size() const override { return bytes_.size(); }
  Result<> read(uint64_t offset, ByteSpan into) override {
    if (offset > bytes_.size() || bytes_.size() - offset < into.size()) std::abort();
    std::ranges::copy(as_bytes(bytes_).subspan(offset, into.size()), into.begin());
    return {};
  }

 private:
  std::string_view bytes_;
};

// Whatever is read as a record can be written, and reads the same again.
void look_at(std::string_view header) {
  auto read = extension::decode_header(as_bytes(header));
  if (!read.ok()) return;
  auto frame = extension::encode_record(read->record);
  if (!frame.ok()) std::abort();
  auto again = extension::decode_header(as_bytes(*extension::encode_header(*frame, "")));
  if (!again.ok() || again->record != read->record) std::abort();
  if (extension::file_size(read->record) <= read->record.data_size) std::abort();
  (void)extension::verity_parameters(read->record, "7:0");
}

}  // namespace

// The input as a file, and as the payload of a frame whose checksum is right; as a verdict, too. Nothing is fit: nobody signed it.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  std::string file(input);
  file.resize(std::max<size_t>(size, extension::kHeaderSize), '\0');
  look_at(file);
  InputBytes bytes(file);
  verify::ExtensionWanted wanted{.named = {.name = "x", .size = file.size()}, .arch = "x86-64", .kernel = "6"};
  if (verify::check_extension(bytes, wanted).ok()) std::abort();
  (void)verify::decode_extension_verdict(as_bytes(input));
  if (size > extension::kMaxRecord / 2) return 0;
  std::string framed(frame::kHeaderSize, '\0');
  store_le(framed.data(), frame::kMagic);
  store_le<uint16_t>(framed.data() + 4, frame::kExtensionRecord);
  store_le<uint16_t>(framed.data() + 6, 1);
  store_le(framed.data() + 8, static_cast<uint32_t>(size));
  store_le(framed.data() + 12, crc32c(as_bytes(input), crc32c(as_bytes(framed).first(12))));
  framed += input;
  framed.resize(extension::kHeaderSize, '\0');
  look_at(framed);
  return 0;
}
