#pragma once

#include <functional>

#include "init/base/clock.h"
#include "init/base/result.h"

namespace steppe::kernel {

enum class Trial : uint8_t { kPassed, kFailed, kCrashed };

// Runs `work` in a forked child and says how it went: true is kPassed, false kFailed; a signal, also the one that ends it
// after `limit`, is kCrashed. For code that may crash on damaged input. Blocks; `work` must not need other threads, and
// what it changes in memory is lost.
Result<Trial> try_in_child(const std::function<bool()>& work, Duration limit);

}  // namespace steppe::kernel
