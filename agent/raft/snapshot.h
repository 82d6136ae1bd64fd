#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/raft/types.h"
#include "init/base/bytes.h"
#include "init/base/result.h"
#include "init/io/disk.h"

namespace steppe::raft {

// Bytes in pieces. Who reads them decides the pace.
class SnapshotSource {
 public:
  virtual ~SnapshotSource() = default;
  // The next piece, at most kMaxSnapshotChunk; empty at the end.
  virtual io::Task<Result<std::string>> next() = 0;
};
inline constexpr size_t kMaxSnapshotChunk = 1 << 20;

// A snapshot file: snap-<index>-<term>, numbers in 16 hex digits. A header (magic, version, point, its
// checksum), then chunks {u32 length, u32 CRC-32C bound to the point and the chunk's number, bytes}; one
// of length 0 ends it. The name appears only when the content is durable.
struct SnapshotName {
  Index index = 0;
  Term term = 0;
  std::string text() const;
  static std::optional<SnapshotName> parse(std::string_view name);
};

class SnapshotWriter {
 public:
  // Writes to `part` (replaced if there).
  static io::Task<Result<std::unique_ptr<SnapshotWriter>>> create(io::Directory& directory, std::string part, SnapshotPoint point);
  io::Task<Result<>> write(std::string chunk);
  // End mark, fsync, rename to its name, fsync of the directory.
  io::Task<Result<>> finish();

 private:
  SnapshotWriter(io::Directory& directory, std::string part, SnapshotPoint point, std::unique_ptr<io::File> file)
      : directory_(directory), part_(std::move(part)), point_(std::move(point)), file_(std::move(file)) {}
  io::Task<Result<>> put(std::string_view chunk);
  io::Directory& directory_;
  std::string part_;
  SnapshotPoint point_;
  std::unique_ptr<io::File> file_;
  uint64_t end_ = 0;
  uint64_t chunks_ = 0;
};

// Reads a snapshot file and checks every byte on the way: kCorrupt says which chunk is damaged.
class SnapshotReader final : public SnapshotSource {
 public:
  static io::Task<Result<std::unique_ptr<SnapshotReader>>> open(io::Directory& directory, std::string name);
  const SnapshotPoint& point() const { return point_; }
  io::Task<Result<std::string>> next() override;
  // Reads to the end without keeping anything.
  io::Task<Result<>> verify();

 private:
  SnapshotReader(std::string name, std::unique_ptr<io::File> file) : name_(std::move(name)), file_(std::move(file)) {}
  io::Task<Result<std::string>> read_exactly(size_t count);
  Error damaged(std::string_view what) const;
  std::string name_;
  std::unique_ptr<io::File> file_;
  SnapshotPoint point_;
  uint64_t at_ = 0;
  uint64_t chunks_ = 0;
  bool ended_ = false;
};

// All snapshot files, newest first.
io::Task<Result<std::vector<SnapshotName>>> list_snapshots(io::Directory& directory);
// The newest snapshot whose every byte checks; index 0 when there is none. kCorrupt when there are
// some and none is whole.
io::Task<Result<SnapshotPoint>> find_newest_snapshot(io::Directory& directory);
io::Task<Result<>> remove_old_snapshots(io::Directory& directory, Index keep);  // those before `keep`
io::Task<Result<>> remove_unfinished_snapshots(io::Directory& directory);       // *.part; when nobody writes one

}  // namespace steppe::raft
