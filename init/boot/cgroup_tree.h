#pragma once

#include <cstdint>
#include <string_view>

#include "init/base/result.h"
#include "init/sys/kernel/fd.h"

namespace steppe::boot {

// The machine's cgroups (v2, mounted at /sys/fs/cgroup):
//
//   init/            PID 1 alone: the root may hold no process once it hands out controllers
//   services/NAME/   what PID 1 supervises, one leaf each; the agent's executors stay in the agent's, so nothing here is
//                    killed as a whole before the machine goes down
//   nomad.slice/     delegated: the agent makes one cgroup a task in it (client.cgroup_parent)
//
// Every controller that the kernel has is handed down to all three. memory.min keeps `init` and `services` in memory
// whatever tasks use.
struct MemoryFloors {
  uint64_t init_bytes = 8ull << 20;
  uint64_t services_bytes = 64ull << 20;
};

class CgroupTree {
 public:
  // Makes the tree and moves this process into init/. A controller that cannot be handed down is left out (its name is in
  // missing()); the directories themselves are required.
  static Result<CgroupTree> make(MemoryFloors floors = {});

  // The leaf of a service, made when it is not there. `name`: letters, digits and '-'.
  Result<kernel::Fd> service(std::string_view name) const;
  // Kills every process of services/ and nomad.slice/ (cgroup.kill); returns before they are gone. What cannot be written
  // is left: the caller also signals every process.
  void kill_all() const;
  // Kills every process of one service and what it left there.
  void kill_service(std::string_view name) const;

  const char* missing() const { return missing_; }  // names parted by spaces; "" when all are there

 private:
  kernel::Fd root_, services_;
  char missing_[160] = "";
};

}  // namespace steppe::boot
