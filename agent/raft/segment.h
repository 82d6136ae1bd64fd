#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/raft/types.h"
#include "init/base/bytes.h"
#include "init/base/result.h"

namespace steppe::raft {

// The bytes of one log segment: a file of fixed size that holds records one after another, each at a
// multiple of 8:
//
//   0  u32 seal: CRC-32C of the segment's number, the record's offset, and bytes 4.. of the record
//   4  u32 payload length
//   8  u8 kind   9  u8 format version   10 u8 entry type   11 u8 zero
//   12 u32 offset up to which all was durable when the record was written: where its batch begins
//   16 u64 index   24 u64 term   32 payload, then zeros up to a multiple of 8
//
// The seal binds a record to its place: what a recycled file still holds, and what a disk wrote to the
// wrong place, does not pass. A batch is what one fdatasync covered. A batch is written only after the
// one before it is durable, so a valid record proves that everything before its batch was durable once:
// a hole before it is corruption, a hole within or after the last batch is a write that a crash cut.
// The first record of a segment in use is its header.
enum class RecordKind : uint8_t {
  kHeader = 1,     // index, term: of the last entry before this segment; payload: SegmentHeader
  kEntry = 2,      // payload: data
  kHardState = 3,  // payload: term, vote, commit
  kTruncate = 4,   // entries from index on are gone
  kReset = 5,      // the log starts anew after index, term: a snapshot took its place
  kDurable = 6,    // proves the batch before it; written when nothing else follows, and at an orderly end
};

inline constexpr uint8_t kRecordVersion = 1;
inline constexpr size_t kRecordHeaderSize = 32;
inline constexpr size_t kMinSegmentSize = 4096;

struct Record {
  RecordKind kind = RecordKind::kEntry;
  EntryType type = EntryType::kNormal;
  uint32_t batch = 0;
  uint64_t index = 0;
  uint64_t term = 0;
  std::string_view payload;
};

// What a reader needs to start at this segment, all others before it deleted.
struct SegmentHeader {
  uint64_t previous_end = 0;  // where the segment before this one ends; what stands after it was never durable
  uint64_t size = 0;          // of this file: it had that size before its first record
  HardState hard;
  ConfState boot;             // the members that the group was founded with
  std::string encode() const;
  static Result<SegmentHeader> decode(std::string_view bytes);
};

std::string encode_hard_state(const HardState& hard);
Result<HardState> decode_hard_state(std::string_view bytes);

// `record`: from byte 4 on. Tests plant weaker ones.
using SealFn = uint32_t (*)(uint64_t segment, uint64_t offset, std::string_view record);
uint32_t position_seal(uint64_t segment, uint64_t offset, std::string_view record);

inline constexpr size_t record_size(size_t payload) { return (kRecordHeaderSize + payload + 7) & ~size_t{7}; }

// Appends the record to `out`; it will stand at `offset` of segment `segment`.
void append_record(std::string& out, uint64_t segment, uint64_t offset, const Record& record, SealFn seal);

struct SegmentScan {
  std::vector<Record> records;  // views into the scanned bytes
  uint64_t end = 0;             // where the next record would stand
  bool torn = false;            // something that is not a record follows: a cut write, or an old life's bytes
};

// Reads a segment. `end`: where it is known to end, from the header of the next one; then anything
// invalid before it is kCorrupt. Without it, this is the last segment: see the rule above. A record of
// a newer format version is kUnsupported. Never allocates more than the records found.
Result<SegmentScan> scan_segment(uint64_t segment, std::string_view bytes, std::optional<uint64_t> end, SealFn seal);

}  // namespace steppe::raft
