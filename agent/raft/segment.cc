#include "agent/raft/segment.h"

#include <format>

#include "agent/raft/wire.h"
#include "init/base/assert.h"

namespace steppe::raft {
namespace {

struct Raw {
  uint32_t seal, length;
  uint8_t kind, version, type, zero;
  uint32_t batch;
  uint64_t index, term;
};
static_assert(sizeof(Raw) == kRecordHeaderSize);

// The record at `offset`, or nothing when its bytes are not one. The cheap tests come first: most
// offsets of a search fail them.
struct Parsed {
  Record record;
  size_t size = 0;
  uint8_t version = 0;
};
std::optional<Parsed> parse(uint64_t segment, std::string_view bytes, uint64_t offset, SealFn seal) {
  if (offset + kRecordHeaderSize > bytes.size()) return std::nullopt;
  const Raw raw = load_le<Raw>(bytes.data() + offset);
  const bool plausible = raw.kind >= 1 && raw.kind <= 6 && raw.version != 0 && raw.type <= 2 && raw.zero == 0 &&
                         raw.batch <= offset && raw.batch % 8 == 0 &&
                         raw.length <= bytes.size() - offset - kRecordHeaderSize;
  if (!plausible) return std::nullopt;
  const size_t size = record_size(raw.length);
  if (offset + size > bytes.size()) return std::nullopt;
  if (seal(segment, offset, bytes.substr(offset + 4, size - 4)) != raw.seal) return std::nullopt;
  return Parsed{{static_cast<RecordKind>(raw.kind), static_cast<EntryType>(raw.type), raw.batch, raw.index, raw.term,
                 bytes.substr(offset + kRecordHeaderSize, raw.length)},
                size,
                raw.version};
}

// Whether a valid record after the hole at `hole` proves that the hole was durable once.
bool durable_once(uint64_t segment, std::string_view bytes, uint64_t hole, SealFn seal) {
  for (uint64_t offset = hole + 8; offset + kRecordHeaderSize <= bytes.size(); offset += 8) {
    const auto later = parse(segment, bytes, offset, seal);
    if (later && later->record.batch > hole) return true;
  }
  return false;
}

Error damaged(uint64_t segment, uint64_t offset) {
  return {Code::kCorrupt,
          std::format("log segment {} is damaged at byte {}: it was written completely once and has changed since. Nothing "
                      "was altered. Join this server anew with an empty data directory, or restore its directory from a copy",
                      segment, offset)};
}

bool all_zero(std::string_view bytes) { return bytes.find_first_not_of('\0') == bytes.npos; }

}  // namespace

uint32_t position_seal(uint64_t segment, uint64_t offset, std::string_view record) {
  const uint64_t place[2] = {segment, offset};
  return crc32c(as_bytes(record), crc32c(std::as_bytes(std::span(place))));
}

std::string encode_hard_state(const HardState& hard) {
  WireWriter writer;
  writer.put_u64(hard.term);
  writer.put_u64(hard.vote);
  writer.put_u64(hard.commit);
  return writer.take();
}

Result<HardState> decode_hard_state(std::string_view bytes) {
  WireReader reader(bytes);
  const HardState hard{reader.u64(), reader.u64(), reader.u64()};
  if (!reader.ok()) return Error(Code::kCorrupt, "a hard state record is too short");
  return hard;
}

std::string SegmentHeader::encode() const {
  WireWriter writer;
  writer.put_u64(previous_end);
  writer.put_u64(size);
  writer.put_blob(encode_hard_state(hard));
  writer.put_conf(boot);
  return writer.take();
}

Result<SegmentHeader> SegmentHeader::decode(std::string_view bytes) {
  WireReader reader(bytes);
  SegmentHeader header;
  header.previous_end = reader.u64();
  header.size = reader.u64();
  STEPPE_TRY(header.hard, decode_hard_state(reader.blob()));
  header.boot = reader.conf();
  if (!reader.ok()) return Error(Code::kCorrupt, "a segment header is too short");
  return header;
}

void append_record(std::string& out, uint64_t segment, uint64_t offset, const Record& record, SealFn seal) {
  STEPPE_ASSERT(offset % 8 == 0 && record.batch <= offset && record.payload.size() < UINT32_MAX);
  const size_t at = out.size();
  out.resize(at + record_size(record.payload.size()));
  Raw raw{0, static_cast<uint32_t>(record.payload.size()), static_cast<uint8_t>(record.kind), kRecordVersion,
          static_cast<uint8_t>(record.type), 0, record.batch, record.index, record.term};
  store_le(out.data() + at, raw);
  out.replace(at + kRecordHeaderSize, record.payload.size(), record.payload);
  store_le(out.data() + at, seal(segment, offset, std::string_view(out).substr(at + 4)));
}

Result<SegmentScan> scan_segment(uint64_t segment, std::string_view bytes, std::optional<uint64_t> end, SealFn seal) {
  SegmentScan scan;
  if (end && *end > bytes.size()) return damaged(segment, bytes.size());
  while (!end || scan.end < *end) {
    const auto parsed = parse(segment, bytes, scan.end, seal);
    if (!parsed) {
      if (end || durable_once(segment, bytes, scan.end, seal)) return damaged(segment, scan.end);
      scan.torn = !all_zero(bytes.substr(std::min<size_t>(scan.end, bytes.size())));
      return scan;
    }
    if (parsed->version > kRecordVersion) {
      return Error(Code::kUnsupported, std::format("log segment {} holds a record of format {}, this program reads up to {}: "
                                                   "start the newer version again", segment, parsed->version, kRecordVersion));
    }
    scan.records.push_back(parsed->record);
    scan.end += parsed->size;
  }
  if (scan.end != *end) return damaged(segment, scan.end);
  return scan;
}

}  // namespace steppe::raft
