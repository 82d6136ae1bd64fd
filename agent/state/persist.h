#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "agent/state/snapshot.h"
#include "init/base/bytes.h"
#include "init/base/result.h"

namespace steppe::state {

class Writer;

// A persisted state is a run of chunks. Each: payload size u32, format u16, section u16, cluster version u32, sequence
// number u64, CRC-32C u32 of these and the payload; then the payload: records, each with its length as a varint. The
// sequence number binds a chunk to its place. Little-endian. Sections come in a fixed order and end with one that holds
// the digests of all tables. Rows are written as the messages of agent/schema, not as they lie in memory.
inline constexpr uint16_t kPersistFormat = 1;
inline constexpr size_t kChunkHeader = 24;
inline constexpr size_t kChunkTarget = 256 << 10;  // a chunk is closed when its payload reaches this
inline constexpr size_t kChunkLimit = 64 << 20;    // no record, hence no payload, is larger

// Writes one snapshot, chunk by chunk; each step costs about a chunk of memory and a millisecond. Any one thread.
class PersistWriter {
 public:
  explicit PersistWriter(Snapshot snapshot);
  ~PersistWriter();
  PersistWriter(const PersistWriter&) = delete;
  PersistWriter& operator=(const PersistWriter&) = delete;

  // The next chunk with its header; empty when all is written.
  std::string next_chunk();

 private:
  struct Progress;
  std::unique_ptr<Progress> progress_;
};

// Reads what PersistWriter wrote, in pieces of any size, into a state of its own; give that to Store::install(). The
// state it was made from is not touched, whatever goes wrong. Loop thread, or any thread that hands the result over.
class PersistReader {
 public:
  PersistReader();
  ~PersistReader();
  PersistReader(const PersistReader&) = delete;
  PersistReader& operator=(const PersistReader&) = delete;

  // kCorrupt: a checksum, an order or a record is wrong; kUnsupported: written by a newer version. No further calls.
  Result<> feed(ByteView bytes);
  // Requires that all bytes were fed. Compares the digests of what came about with those of the original.
  Result<std::unique_ptr<Writer>> finish();

 private:
  struct Progress;
  std::unique_ptr<Progress> progress_;
};

}  // namespace steppe::state
