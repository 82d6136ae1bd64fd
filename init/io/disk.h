#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "init/base/bytes.h"
#include "init/base/result.h"
#include "init/io/task.h"

namespace steppe::io {

enum class OpenMode : uint8_t {
  kRead,       // must exist
  kReadWrite,  // must exist
  kCreate,     // made if missing, kept if there
  kCreateNew,  // kExists if there
};

// An open regular file. Operations may overlap only when they touch different ranges; sync() covers
// the writes that completed before it was called. Destroying it closes the descriptor.
class File {
 public:
  virtual ~File() = default;
  // Bytes read; fewer than asked only at the end of the file.
  virtual Task<Result<size_t>> read_at(uint64_t offset, ByteSpan into) = 0;
  // All bytes or an error; after an error any prefix may be there. The bytes stay valid until then.
  virtual Task<Result<>> write_at(uint64_t offset, ByteView bytes) = 0;
  // fdatasync: what was written survives a power cut, with the size needed to read it. After a
  // failure the state of unsynced writes is unknown for good: the caller must not retry and go on.
  virtual Task<Result<>> sync() = 0;
  // write_at, then sync; one trip where a backend can. The same promises as the two.
  virtual Task<Result<>> write_and_sync(uint64_t offset, ByteView bytes);
  virtual Task<Result<>> truncate(uint64_t size) = 0;
  // Reserves space and sets the size to at least `size`, reading as zeros; later writes inside it
  // need no new metadata.
  virtual Task<Result<>> allocate(uint64_t size) = 0;
  virtual Task<Result<uint64_t>> size() = 0;
};

// An open directory. Names are single components: no '/', not "." or "..", at most 255 bytes
// (kInvalid). Symbolic links are never followed. Creations, renames and removals survive a power cut
// only after sync().
class Directory {
 public:
  struct Entry {
    std::string name;
    bool directory = false;
  };

  virtual ~Directory() = default;
  virtual Task<Result<std::unique_ptr<File>>> open(std::string name, OpenMode mode) = 0;
  virtual Task<Result<std::unique_ptr<Directory>>> open_directory(std::string name) = 0;
  virtual Task<Result<>> make_directory(std::string name) = 0;  // 0700; kExists if there
  virtual Task<Result<std::vector<Entry>>> list() = 0;          // sorted by name
  virtual Task<Result<>> rename(std::string from, std::string to) = 0;  // replaces `to`, atomically
  virtual Task<Result<>> remove(std::string name) = 0;          // a file or an empty directory
  virtual Task<Result<>> sync() = 0;
};

// kNotFound when missing, kExhausted when larger than `limit`.
Task<Result<std::string>> read_file(Directory& directory, std::string name, Bytes limit);
// Old content or new content after a crash, never a mixture: writes NAME.part, syncs, renames, syncs
// the directory.
Task<Result<>> replace_file(Directory& directory, std::string name, std::string content);

}  // namespace steppe::io
