#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "init/base/bytes.h"
#include "init/base/result.h"

namespace steppe::upgrade {

struct DirectoryEntry {
  std::string name;
  uint64_t size = 0;
  uint64_t chain = 0;  // number of the first cluster (FIBMAP); 0 for an empty file or where it cannot be told
};
struct Space {
  uint64_t total_bytes = 0, free_bytes = 0, cluster_bytes = 0;
};

// One FAT directory. Blocking, one thread. What must hold under a power cut, and how Linux gives it:
//   - rename: at every moment the image is under the old name, the new one, or both (which then share its clusters; the new one
//     may be empty instead). FAT cannot do better; Linux orders it so when the filesystem is mounted `dirsync`.
//   - remove: the name is gone for good before its clusters are given back (dirsync, too).
//   - after sync_file, the bytes, the size and the name are there; after sync_directory, all names are.
// Names are single components. `rename` refuses a name that exists (kExists): replacing frees clusters in the wrong order.
class SlotDirectory {
 public:
  virtual ~SlotDirectory() = default;
  virtual Result<std::vector<DirectoryEntry>> list() = 0;  // kExhausted past kMaxNames
  virtual Result<Space> space() = 0;
  virtual Result<> create(const std::string& name) = 0;  // empty; kExists if there
  virtual Result<> append(const std::string& name, ByteView bytes) = 0;
  // In place, inside the file's size: takes no new cluster, changes no name. Atomic by sector at best.
  virtual Result<> overwrite(const std::string& name, uint64_t offset, ByteView bytes) = 0;
  virtual Result<size_t> read(const std::string& name, uint64_t offset, ByteSpan into) = 0;  // 0 at the end
  virtual Result<> sync_file(const std::string& name) = 0;
  virtual Result<> drop_caches(const std::string& name) = 0;  // the next read comes from the disk
  virtual Result<> rename(const std::string& from, const std::string& to) = 0;
  virtual Result<> remove(const std::string& name) = 0;
  // Takes a name away and leaves its clusters alone. For one of two names on one chain; removing it would free the other's.
  virtual Result<> forget(const std::string& name) = 0;
  virtual Result<> sync_directory() = 0;
};

}  // namespace steppe::upgrade
