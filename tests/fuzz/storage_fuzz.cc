#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "init/boot/random_seed.h"
#include "init/machine/gpt_write.h"
#include "init/machine/node/machine_hardware.h"
#include "init/machine/storage/content.h"
#include "init/supervise/end_record.h"

namespace {

using namespace steppe;

constexpr size_t kBlock = 512;

// The input as a disk of 512-byte blocks, with zeros behind it so that a second table has a place.
class Disk final : public machine::BlockWriter {
 public:
  explicit Disk(std::string_view bytes) : bytes(bytes) { this->bytes.resize((bytes.size() / kBlock + 80) * kBlock); }
  uint32_t block_bytes() const override { return kBlock; }
  uint64_t blocks() const override { return bytes.size() / kBlock; }
  Result<> read(uint64_t first, ByteSpan into) override {
    if (first > blocks() || into.size() / kBlock > blocks() - first) std::abort();
    std::ranges::copy(as_bytes(bytes).subspan(first * kBlock, into.size()), into.begin());
    return {};
  }
  Result<> write(uint64_t first, ByteView from) override {
    if (first > blocks() || from.size() / kBlock > blocks() - first) std::abort();
    bytes.replace(first * kBlock, from.size(), as_text(from));
    return {};
  }
  Result<> flush() override { return {}; }
  // What the checksums would keep out: a table whose mistakes are meant.
  void make_sums_right() {
    const uint64_t entries = load_le<uint32_t>(bytes.data() + kBlock + 80), size = load_le<uint32_t>(bytes.data() + kBlock + 84), at = load_le<uint64_t>(bytes.data() + kBlock + 72);
    if (at < blocks() && entries <= 1024 && size <= 4096 && entries * size <= bytes.size() - at * kBlock)
      store_le<uint32_t>(bytes.data() + kBlock + 88, machine::crc32(as_bytes(bytes).subspan(at * kBlock, entries * size)));
    const uint32_t header = load_le<uint32_t>(bytes.data() + kBlock + 12);
    if (header < 92 || header > kBlock) return;
    store_le<uint32_t>(bytes.data() + kBlock + 16, 0);
    store_le<uint32_t>(bytes.data() + kBlock + 16, machine::crc32(as_bytes(bytes).subspan(kBlock, header)));
  }
  std::string bytes;
};

// A table that can be read can be written again, keeps its partitions, and is whole then.
void rewrite(std::string_view bytes) {
  Disk disk(bytes);
  disk.make_sums_right();
  Result<machine::Gpt> before = read_gpt(disk);
  if (!before.ok()) return;
  Result<machine::Gpt> after = change_gpt(disk, {});
  if (!after.ok()) return;
  if (!after->primary_good || !after->backup_good || after->partitions.size() != before->partitions.size()) std::abort();
  for (size_t i = 0; i < after->partitions.size(); ++i) {
    if (after->partitions[i].first != before->partitions[i].first || after->partitions[i].last != before->partitions[i].last) std::abort();
  }
}

}  // namespace

// The first byte says what the rest is: the record of an end, a seed, an EFI variable, a file system, a disk.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 5) {
    case 0: {
      Result<supervise::EndRecord> end = supervise::decode_end(rest);
      if (end.ok() && !supervise::decode_end(supervise::encode_end(*end)).ok()) std::abort();
      return 0;
    }
    case 1: {
      Result<boot::Seed> seed = boot::decode_seed(rest);
      if (seed.ok() && !boot::decode_seed(boot::encode_seed(*seed)).ok()) std::abort();
      return 0;
    }
    case 2:
      for (char c : node::loader_text(rest)) {
        if (c < ' ' || c > '~') std::abort();
      }
      return 0;
    case 3: {
      Disk disk(rest);
      (void)storage::content_of(disk);
      (void)storage::ext4_size(disk);
      return 0;
    }
    default: rewrite(rest); return 0;
  }
}
