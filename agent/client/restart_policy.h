#pragma once

#include <cstdint>
#include <string>

#include "init/base/clock.h"
#include "init/base/rng.h"

namespace steppe::client {

// Whether and when an ended task runs again. Pure: the caller gives the time and the chance.
//
// Rules (Nomad's): `attempts` restarts per `interval`, each after `delay` plus up to a quarter of it at random. Beyond
// that, mode "fail" ends the task as failed and mode "delay" waits for the rest of the interval. attempts = 0 never
// restarts. A clean exit restarts only what should always run (service and system mains, sidecars). A start error that
// cannot get better never restarts. Restarts that a person or a template asked for are not counted.

struct RestartPolicy {
  int64_t attempts = 0;
  Duration interval{};
  Duration delay{};
  bool delay_mode = false;       // "delay" instead of "fail"
  bool on_success = false;       // the kind of task that a clean exit restarts
};

enum class RestartVerdict : uint8_t {
  kRestart,      // run again after `delay`
  kEnd,          // ended as it should: dead, not failed
  kFail,         // dead and failed
};

struct RestartDecision {
  RestartVerdict verdict = RestartVerdict::kFail;
  Duration delay{};
  std::string reason;
};

class RestartTracker {
 public:
  explicit RestartTracker(RestartPolicy policy) : policy_(policy) {}

  RestartDecision after_exit(bool success, WallTime now, Rng& rng);
  RestartDecision after_start_error(bool recoverable, WallTime now, Rng& rng);

  // A changed job may carry another policy; the count stays.
  void set_policy(RestartPolicy policy) { policy_ = policy; }

  // What survives the agent: restarts already counted, and since when. Wall time, because it outlives this boot.
  struct Memory {
    int64_t count = 0;
    WallTime interval_start;
  };
  Memory memory() const { return memory_; }
  void restore(Memory memory) { memory_ = memory; }

 private:
  RestartDecision count_one(WallTime now, Rng& rng);

  RestartPolicy policy_;
  Memory memory_;
};

}  // namespace steppe::client
