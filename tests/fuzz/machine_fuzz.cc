#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "init/machine/gpt.h"
#include "init/machine/smbios.h"
#include "init/machine/sources.h"

namespace {

// The input as a disk of 512-byte blocks, with zeros behind it so that a backup has a place.
class Disk final : public steppe::machine::BlockReader {
 public:
  explicit Disk(std::string_view bytes) : bytes_(bytes) { bytes_.resize((bytes.size() / 512 + 80) * 512); }
  uint32_t block_bytes() const override { return 512; }
  uint64_t blocks() const override { return bytes_.size() / 512; }
  steppe::Result<> read(uint64_t first, steppe::ByteSpan into) override {
    if (first > blocks() || into.size() / 512 > blocks() - first) std::abort();
    std::ranges::copy(steppe::as_bytes(bytes_).subspan(first * 512, into.size()), into.begin());
    return {};
  }

 private:
  std::string bytes_;
};

}  // namespace

// The first byte says what the rest is: a document, a command line, an SMBIOS structure, a disk.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace steppe;
  using namespace steppe::machine;
  if (size == 0) return 0;
  std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  hcl::Diagnostics diagnostics;
  switch (data[0] % 4) {
    case 0: {
      Fragment fragment = fragment_of(Origin::kHttpByMac, "x", Trust::kRemote, std::string(rest), diagnostics);
      if (diagnostics.has_errors()) return 0;
      Merged merged = merge({fragment}, diagnostics);
      for (Section section : {Section::kKeys, Section::kCa, Section::kSecurity, Section::kDisks})
        if (merged.config.given.contains(section)) std::abort();
      return 0;
    }
    case 1:
    case 2: {
      Result<std::vector<Setting>> settings = parse_command_line(rest);
      if (data[0] % 4 == 2) {
        Result<std::vector<std::string>> strings = parse_oem_strings(as_bytes(rest));
        if (!strings.ok()) return 0;
        settings = smbios_settings(*strings);
      }
      if (!settings.ok()) return 0;
      Fragment fragment = fragment_of(Origin::kKernelArguments, *settings, diagnostics);
      (void)config_links(*settings);
      (void)merge({fragment}, diagnostics);
      return 0;
    }
    default: {
      Disk disk(rest);
      Result<Gpt> gpt = read_gpt(disk);
      if (!gpt.ok()) return 0;
      for (size_t i = 0; i < gpt->partitions.size(); i++) {
        const Partition& partition = gpt->partitions[i];
        if (partition.last >= disk.blocks() || (i > 0 && partition.first <= gpt->partitions[i - 1].last)) std::abort();
        if (*parse_guid(guid_text(partition.type)) != partition.type) std::abort();
      }
      return 0;
    }
  }
}
