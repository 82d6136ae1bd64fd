#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "init/sys/fat/volume.h"

namespace {

class Memory final : public steppe::fat::Device {
 public:
  explicit Memory(std::string bytes) : bytes_(std::move(bytes)) {}
  uint64_t size() const override { return bytes_.size() + (64u << 20); }  // zeros behind what the fuzzer wrote
  steppe::Result<> read(uint64_t offset, steppe::ByteSpan into) override {
    if (offset > size() || size() - offset < into.size()) return {steppe::Code::kIo, "past the end"};
    for (size_t i = 0; i < into.size(); i++) into[i] = offset + i < bytes_.size() ? static_cast<std::byte>(bytes_[offset + i]) : std::byte{0};
    return {};
  }
  steppe::Result<> write(uint64_t offset, steppe::ByteView what) override {
    if (offset > size() || what.size() != 1) std::abort();  // one mark at a time, on the device
    if (offset < bytes_.size()) bytes_[offset] = static_cast<char>(what[0]);
    return {};
  }
  steppe::Result<> sync() override { return {}; }

 private:
  std::string bytes_;
};

}  // namespace

// The input as a filesystem: its directories are listed, and each name that shares its clusters is forgotten, but never the last.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace steppe::fat;
  Memory memory(std::string(reinterpret_cast<const char*>(data), size));
  auto volume = Volume::open(memory);
  if (!volume.ok()) return 0;
  for (const char* directory : {"", "EFI", "EFI/Linux"}) {
    auto names = volume->list(directory);
    if (!names.ok()) continue;
    if (names->size() > Volume::kMaxEntries * 2) std::abort();
    for (size_t i = 0; i < std::min<size_t>(names->size(), 20); i++) (void)volume->forget(directory, (*names)[i].name);
  }
  return 0;
}
