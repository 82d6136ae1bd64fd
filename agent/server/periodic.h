#pragma once

#include <map>
#include <optional>
#include <string>

#include "agent/server/core.h"

namespace steppe::server {

// Launches the children of periodic jobs when they are due. Leader only.
//
// A child is named JOB/periodic-UNIXSECONDS. With prohibit_overlap a launch is skipped, not put off, while a child is not
// dead. A new leader forces at most one launch of each job: the newest that was due while nobody led, when it is younger
// than the time for which dead children are kept (older ones cannot be told from those that ran and were collected).
class PeriodicLauncher {
 public:
  explicit PeriodicLauncher(Core& core) : core_(core), changed_(core.loop) {}

  // The job was registered, changed, stopped or purged.
  void note(const state::Snapshot& snapshot, const std::string& job_key);
  void restore(const state::Snapshot& snapshot);
  io::Task<void> run(std::stop_token stop);
  // Launches one now, whatever the time; the overlap rule holds. 500 with Nomad's text when it may not be.
  struct Launched {
    uint64_t index = 0;
    std::string eval_id;
  };
  io::Task<endpoint::Outcome<Launched>> force(std::string ns, std::string job_id);

 private:
  io::Task<endpoint::Outcome<Launched>> launch(std::string ns, std::string job_id, WallTime at);
  std::optional<WallTime> missed_launch(const state::Snapshot& snapshot, const state::JobView& job) const;
  void track(const state::JobView& job, WallTime after);

  Core& core_;
  io::Event changed_;
  std::map<std::string, WallTime> due_;  // by job key
};

// "web/periodic-1700000000" -> 1700000000; nullopt for other names.
std::optional<int64_t> periodic_launch_of(std::string_view parent, std::string_view child);

}  // namespace steppe::server
