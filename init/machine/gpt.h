#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "init/base/bytes.h"
#include "init/base/result.h"

namespace steppe::machine {

// A disk, block by block. Blocking.
class BlockReader {
 public:
  virtual ~BlockReader() = default;
  virtual uint32_t block_bytes() const = 0;  // 512 to 4096, a power of two
  virtual uint64_t blocks() const = 0;
  // All of them or an error. Requires first + into.size() / block_bytes() <= blocks().
  virtual Result<> read(uint64_t first, ByteSpan into) = 0;
};

using Guid = std::array<std::byte, 16>;  // as on disk: the first three groups little-endian
// "C12A7328-F81F-11D2-BA4B-00A0C93EC93B", either case.
Result<Guid> parse_guid(std::string_view text);
std::string guid_text(const Guid& guid);  // upper case

struct Partition {
  uint32_t number = 0;            // from 1, its place in the table
  Guid type{}, unique{};
  uint64_t first = 0, last = 0;   // blocks, both inclusive
  uint64_t attributes = 0;
  std::string label;              // UTF-8
};

struct Gpt {
  Guid disk{};
  uint64_t first_usable = 0, last_usable = 0;
  uint64_t backup_at = 0;             // where the header says that its other copy is
  uint32_t entries = 0, entry_bytes = 0;
  std::vector<Partition> partitions;  // in order of their first block; none overlap, all are within the usable blocks
  bool primary_good = true, backup_good = true;
};

// UEFI specification 2.10, 5.3. Takes the first copy whose header and table have their checksums, and says which are good.
// kNotFound: the disk has no GPT at all (no signature in either place). kCorrupt: there was one, and no copy is whole; the
// text says what is wrong with the first. Pure over the reader; reads 2 headers and at most 2 tables of 128 KiB.
Result<Gpt> read_gpt(BlockReader& disk);

// The same with the good copy's own bytes, for who writes it again.
struct GptBytes {
  Gpt gpt;
  std::string header;  // one block
  std::string table;   // entries * entry_bytes
};
Result<GptBytes> read_gpt_bytes(BlockReader& disk);

uint32_t crc32(ByteView bytes);  // IEEE 802.3, as GPT has it

}  // namespace steppe::machine
