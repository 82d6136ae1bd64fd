#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include "init/base/result.h"
#include "init/sys/kernel/beneath.h"
#include "init/sys/kernel/fd.h"

namespace steppe::kernel {

// One directory of the cgroup v2 hierarchy (Documentation/admin-guide/cgroup-v2.rst).
class Cgroup {
 public:
  Cgroup(Beneath directory, std::string path) : directory_(std::move(directory)), path_(std::move(path)) {}

  int fd() const { return directory_.fd(); }
  const std::string& path() const { return path_; }  // below the mount, no leading slash

  Result<std::string> read(std::string_view file) const;
  Result<> write(std::string_view file, std::string_view value) const;  // the error says file and value
  Result<bool> has(std::string_view file) const;
  Result<Cgroup> make(std::string_view name) const;  // an existing one is fine
  Result<Cgroup> open(std::string_view path) const;
  // Kills every process in it and below; returns before they are gone.
  Result<> kill() const;
  Result<bool> populated() const;
  // Removes an empty child with its empty children. kUnavailable while processes are in it.
  Result<> remove(std::string_view name) const;

 private:
  Beneath directory_;
  std::string path_;
};

// The mounted cgroup v2 hierarchy of this machine.
struct CgroupRoot {
  Cgroup cgroup;
  std::string mount_point;
  std::set<std::string, std::less<>> controllers;  // available there; empty when they are all on cgroup v1
};

// Finds it in mountinfo. kUnsupported: there is none. When several are mounted the one with most controllers is taken.
Result<CgroupRoot> find_cgroup_root();

// "key value" lines: memory.events, cpu.stat, memory.stat. What does not parse is left out.
std::map<std::string, uint64_t, std::less<>> parse_flat_keyed(std::string_view text);

}  // namespace steppe::kernel
