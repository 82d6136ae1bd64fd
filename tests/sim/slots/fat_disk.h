#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "init/base/rng.h"
#include "init/upgrade/directory.h"

namespace steppe::sim {

// Lies and faults that a test plants.
struct FatFaults {
  bool file_sync_lies = false;       // fsync of a file answers without doing it
  bool unordered_names = false;      // mounted without dirsync: names reach the disk in any order
  bool whole_sectors = false;        // no cluster is torn: one sector each
  bool forget_frees = false;         // an ordinary unlink where a name should be forgotten
  uint64_t bad_write_per_million = 0;  // a cluster reaches the medium with a flipped bit; only the medium knows
};

// One directory of a FAT filesystem, cluster by cluster. What was not synced when the power goes reaches the disk in any subset;
// data may be torn inside a cluster. After a cut every call fails until power_on().
class FatDisk final : public upgrade::SlotDirectory {
 public:
  static constexpr size_t kCluster = 64;

  FatDisk(Rng& rng, size_t clusters, size_t cluster_bytes = kCluster);

  // The power goes before the operation-th change from now reaches the disk; 0 switches it off.
  void cut_after(uint64_t changes) { cut_in_ = changes; }
  bool off() const { return off_; }
  void power_on();
  void power_cut();  // now
  // What a filesystem check would free: chains without a name.
  void reclaim();

  Result<std::vector<upgrade::DirectoryEntry>> list() override;
  Result<upgrade::Space> space() override;
  Result<> create(const std::string& name) override;
  Result<> append(const std::string& name, ByteView bytes) override;
  Result<> overwrite(const std::string& name, uint64_t offset, ByteView bytes) override;
  Result<size_t> read(const std::string& name, uint64_t offset, ByteSpan into) override;
  Result<> sync_file(const std::string& name) override;
  Result<> drop_caches(const std::string& name) override;
  Result<> rename(const std::string& from, const std::string& to) override;
  Result<> remove(const std::string& name) override;
  Result<> forget(const std::string& name) override;
  Result<> sync_directory() override;

  // The firmware's rename: remove, then create, nothing ordered, all flushed at the end.
  Result<> firmware_rename(const std::string& from, const std::string& to);
  // The whole file, or an error when its chain is broken.
  Result<std::string> content(const std::string& name);
  // A copy with its own chance, for looking into the future.
  FatDisk fork(Rng& rng) const;

  FatFaults faults;

 private:
  struct Name {
    std::string name;
    uint32_t first = 0;
    uint64_t size = 0;
  };
  struct Volume {
    std::map<uint32_t, Name> names;  // by place in the directory
    std::vector<uint32_t> fat;       // 0 free, kEnd, or the next cluster
    std::vector<std::string> data;
  };
  struct Change {
    enum class Kind : uint8_t { kPut, kErase, kFat, kData } kind;
    uint32_t owner = 0;    // place of the file that it belongs to
    uint32_t number = 0;   // place or cluster
    Name name;
    uint32_t next = 0;
    std::string bytes;
  };
  static constexpr uint32_t kEnd = UINT32_MAX;

  bool tick();  // false: the power is off
  void apply(Volume& volume, const Change& change);
  void later(Change change);
  bool now(Change change);
  Result<> flush(bool everything, uint32_t owner);
  Result<uint32_t> place_of(const std::string& name) const;
  Result<std::vector<uint32_t>> chain_of(uint32_t place) const;
  Result<> unname(const std::string& name, bool free_clusters);
  void forget_entry_writes(uint32_t place);
  void give_back(uint32_t place, const std::vector<uint32_t>& chain);
  static Error dead() { return {Code::kIo, "the machine is off"}; }

  Rng* rng_;
  size_t cluster_;
  Volume disk_, cache_;
  std::vector<Change> pending_;
  uint32_t next_place_ = 1;
  uint64_t cut_in_ = 0;
  bool off_ = false;
};

}  // namespace steppe::sim
