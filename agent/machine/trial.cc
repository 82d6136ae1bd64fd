#include "agent/machine/trial.h"

namespace steppe::machine_api {

std::optional<std::string_view> what_is_missing(const TrialFacts& facts) {
  if (!facts.state_kept) return "the state partition is not mounted";
  if (!facts.clock_sane) return "the clock is before the image's build";
  if (facts.had_heartbeats && !facts.heartbeating) return "the node's heartbeats, which it had with an image before, are not answered";
  return std::nullopt;
}

bool TrialJudge::bless_now(MonoTime now, const TrialFacts& facts) {
  if (what_is_missing(facts)) {
    fine_since_.reset();
    return false;
  }
  if (!fine_since_) fine_since_ = now;
  return now - *fine_since_ >= kSteady;
}

}  // namespace steppe::machine_api
