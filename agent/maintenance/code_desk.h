#pragma once

#include <map>
#include <string>
#include <string_view>

#include "init/base/clock.h"
#include "init/base/rng.h"
#include "init/base/secret.h"

namespace steppe::maintenance {

// A code of 50 bits for people to read off a screen: "7K2QX-M9ZRB", without letters that look like digits.
Secret make_code(Rng& rng);

// Checks codes, and keeps those who guess waiting. Pure. One address may be wrong kWrongOfOne times, all together kWrongOfAll times
// within a minute; past that even the right code is not looked at until the minute is over, so that 50 bits outlast any guessing. Of
// IPv6 addresses the first 64 bits count: a network has the rest for the asking.
class CodeDesk {
 public:
  static constexpr int kWrongOfOne = 5, kWrongOfAll = 100;
  static constexpr Duration kWindow = std::chrono::minutes(1);
  enum class Verdict : uint8_t {
    kRight,
    kWrong,
    kLater,  // too many wrong ones: ask again after kWindow
  };

  explicit CodeDesk(Secret code) : code_(std::move(code)) {}

  // `peer` as io::Address::text() has it. Letters' case and dashes do not count.
  Verdict check(std::string_view peer, std::string_view code, MonoTime now);
  uint64_t wrong() const { return wrong_; }  // since the start

 private:
  const Secret code_;
  MonoTime window_{};
  std::map<std::string, int, std::less<>> of_one_;  // within the window; at most kWrongOfAll
  int of_all_ = 0;
  uint64_t wrong_ = 0;
};

// The part of an address that CodeDesk counts by. For tests.
std::string counted_address(std::string_view peer);

}  // namespace steppe::maintenance
