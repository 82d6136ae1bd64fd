#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>

#include "agent/client/byte_source.h"
#include "init/base/bytes.h"
#include "init/base/result.h"
#include "init/sys/kernel/beneath.h"

namespace steppe::client {

struct ArchiveLimits {
  Bytes bytes = Bytes::gib(100);  // of all files together, unpacked
  uint64_t files = 4096;          // entries of every kind; as many directories again that only their names imply
};

// Where an archive's entries go. Paths are relative, without "." and "..".
class ArchiveSink {
 public:
  virtual ~ArchiveSink() = default;
  virtual Result<> directory(const std::string& path, uint32_t mode) = 0;
  virtual Result<> begin_file(const std::string& path, uint32_t mode) = 0;
  virtual Result<> data(ByteView bytes) = 0;
  virtual Result<> end_file() = 0;
  virtual Result<> symlink(const std::string& path, const std::string& target) = 0;
  virtual Result<> hard_link(const std::string& path, const std::string& existing) = 0;
};

// Into a directory, by descriptor, at most `limit` bytes of content. Set-id bits are dropped; a hard link becomes a copy.
// undo() removes what was not there before; of what was, a file that the archive replaces is gone.
class DirectorySink final : public ArchiveSink {
 public:
  explicit DirectorySink(const kernel::Beneath& into, Bytes limit) : into_(into), left_(limit) {}
  Result<> directory(const std::string& path, uint32_t mode) override;
  Result<> begin_file(const std::string& path, uint32_t mode) override;
  Result<> data(ByteView bytes) override;
  Result<> end_file() override;
  Result<> symlink(const std::string& path, const std::string& target) override;
  Result<> hard_link(const std::string& path, const std::string& existing) override;
  void undo();

 private:
  Result<> make_parents(const std::string& path);
  void note(std::string_view path);
  const kernel::Beneath& into_;
  Bytes left_;
  std::set<std::string, std::less<>> made_;  // the outermost names that were not there; as many as the archive has entries
  kernel::Fd file_;
};

// Counts the directories that names imply: "a/b/c/d" alone makes three. unpack_tar() and unpack_zip() ask it.
class ImpliedDirectories {
 public:
  explicit ImpliedDirectories(uint64_t limit) : limit_(limit) {}
  // kExhausted once there are more than the limit.
  Result<> add_parents_of(std::string_view path);

 private:
  uint64_t limit_;
  std::set<std::string, std::less<>> known_;
};

// tar: POSIX ustar and pax (path, linkpath, size), GNU long names and base-256 numbers. Regular files, directories,
// symbolic and hard links. Refused with the entry's name: absolute names and names with "..", links whose target lies
// outside, devices, FIFOs and sparse files (kDenied or kUnsupported); a cut or damaged archive (kCorrupt); more than the
// limits allow (kExhausted). What was unpacked before the refusal is there: the caller removes it.
Result<> unpack_tar(ByteSource& from, ArchiveSink& to, const ArchiveLimits& limits);

// zip from a file with random access: stored and deflated entries, directories. No encryption, no zip64, no links.
class RandomSource {
 public:
  virtual ~RandomSource() = default;
  virtual uint64_t size() const = 0;
  virtual Result<size_t> read_at(uint64_t offset, ByteSpan into) = 0;
};
Result<> unpack_zip(RandomSource& from, ArchiveSink& to, const ArchiveLimits& limits);

// "a/./b//c/" -> "a/b/c"; kDenied for an absolute name or one with "..".
Result<std::string> clean_entry_name(std::string_view name);
// Whether the link `path` -> `target` stays inside, going by the names alone.
bool link_stays_inside(std::string_view path, std::string_view target);

}  // namespace steppe::client
