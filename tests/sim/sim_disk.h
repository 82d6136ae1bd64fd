#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "init/io/disk.h"
#include "tests/sim/sim_loop.h"

namespace steppe::sim {

struct SimInode {
  std::string durable;
  std::string content;
  struct Write {
    uint64_t offset;
    std::string bytes;
  };
  std::vector<Write> unsynced;   // since the last sync; sizes come back with the durable image
  uint64_t durable_size = 0;
};

// Lies that a test plants; none of them is in the product.
struct DiskLies {
  std::function<bool(const std::string& name)> skip_sync;            // fdatasync answers without doing it
  std::function<bool(const std::string& from)> skip_directory_sync;  // by the name of the last rename
};

struct DiskFaults {
  uint64_t read_error_per_million = 0;
  uint64_t write_error_per_million = 0;
  uint64_t sync_error_per_million = 0;
  uint64_t capacity = UINT64_MAX;  // bytes; beyond it allocate and growing writes are ENOSPC
};

// One machine's disk: a flat directory. What was not synced may be lost, torn (any subset of 512-byte
// sectors) or reordered when the power goes. Each mount() belongs to one life of the machine: after
// crash() the operations of earlier mounts fail and change nothing.
class SimDisk {
 public:
  SimDisk(SimLoop& loop, Rng& rng) : loop_(loop), rng_(rng) {}

  std::unique_ptr<io::Directory> mount();
  void crash();
  DiskFaults faults;
  DiskLies lies;
  // Called at the start of every operation: where a test may crash the machine.
  std::function<void()> on_operation;

  // For tests that damage or inspect what is stored.
  std::map<std::string, std::shared_ptr<SimInode>>& files() { return names_; }
  uint64_t operations() const { return operations_; }
  uint64_t syncs() const { return syncs_; }
  // A copy of what stands on the disk now, everything durable.
  void copy_from(const SimDisk& other);

 private:
  friend class SimFile;
  friend class SimDirectory;
  using Names = std::map<std::string, std::shared_ptr<SimInode>>;
  struct NameChange {
    enum class Kind : uint8_t { kCreate, kRename, kRemove } kind;
    std::string name;
    std::string to;
    std::shared_ptr<SimInode> inode;
  };

  // Time passes; the machine may be off afterwards, or the operation may fail.
  io::Task<Result<>> begin(uint64_t life, uint64_t error_per_million);
  std::string name_of(const SimInode& inode) const;  // now; empty when it has none
  Result<> grow(uint64_t by);
  void crash_file(SimInode& inode);

  SimLoop& loop_;
  Rng& rng_;
  uint64_t life_ = 1;
  uint64_t used_ = 0;
  uint64_t operations_ = 0;
  uint64_t syncs_ = 0;
  Names names_;
  Names durable_names_;
  std::vector<NameChange> changes_;
};

}  // namespace steppe::sim
