#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "init/machine/gpt.h"

namespace steppe::machine {

// A disk that can be written. Blocking.
class BlockWriter : public BlockReader {
 public:
  // All of them or an error; whole blocks within the disk.
  virtual Result<> write(uint64_t first, ByteView from) = 0;
  // What was written before is on the disk before anything that is written after, and the next read comes from the disk.
  virtual Result<> flush() = 0;
};

// Of the attributes of our own partitions (bits 48 to 63 belong to the type): its file system is being made. What is in such a
// partition is nothing, however much it looks like something.
inline constexpr uint64_t kUnfinished = uint64_t{1} << 48;
// Of the state partition: at the machine's next start everything goes but its configuration.
inline constexpr uint64_t kKeepConfig = uint64_t{1} << 49;

// What shall be different. The table's own bytes that are not named here stay as they are.
struct GptChange {
  std::vector<Partition> add;  // number not taken yet, blocks free; the label at most 36 characters of UTF-16
  struct Grow {
    uint32_t number;
    uint64_t last;
  };
  std::vector<Grow> grow;
  struct Mark {
    uint32_t number;
    uint64_t bits;  // kUnfinished, kKeepConfig
  };
  std::vector<Mark> mark;
  std::vector<uint32_t> finish;  // numbers whose kUnfinished and kKeepConfig are taken away
};

// Writes the table anew, with its second copy at the disk's end whatever it said before, so that the usable blocks reach there.
//
// The copy that is damaged goes first, else the second one; table, flush, header, flush, then the other: at every moment, whatever
// of the unflushed writes reached the disk, one copy is whole and is the old or the new table. At last everything is read
// again: kIo when the disk has something else than was written. May be repeated. Returns what the disk has now.
//
// kInvalid: the change does not fit (taken number or blocks, no free entry). kNotFound, kCorrupt, kUnsupported as read_gpt().
Result<Gpt> change_gpt(BlockWriter& disk, const GptChange& change);

// An empty table on a disk that has nothing to keep: what was in the first and the last MiB is gone, so that nobody takes it for
// something else. kInvalid: smaller than 8 MiB.
Result<Gpt> new_gpt(BlockWriter& disk, const Guid& id);

}  // namespace steppe::machine
