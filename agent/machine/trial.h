#pragma once

#include <optional>
#include <string_view>

#include "init/base/clock.h"

namespace steppe::machine_api {

// What is known of a machine whose image is on trial, at one moment.
struct TrialFacts {
  bool state_kept = false;      // the state partition is mounted, if the machine has one
  bool clock_sane = false;      // not before the image was built
  bool heartbeating = false;    // the node's heartbeats are answered
  bool had_heartbeats = false;  // they ever were, by an image before
};

// What speaks against a blessing; nullopt when nothing does. Pure.
std::optional<std::string_view> what_is_missing(const TrialFacts& facts);

// When to bless: once nothing has spoken against it for kSteady in a row. An agent that asks is ready: it is what counts most. Pure.
class TrialJudge {
 public:
  static constexpr Duration kSteady = std::chrono::seconds(15);
  bool bless_now(MonoTime now, const TrialFacts& facts);

 private:
  std::optional<MonoTime> fine_since_;
};

}  // namespace steppe::machine_api
