#pragma once

#include <source_location>
#include <string_view>

namespace steppe {

// Prints "file:line: assertion failed: <what>" to standard error and aborts. Assertions stay on in
// release. They mean a bug of ours, never bad input, peer data or disk: those are Errors.
[[noreturn]] void assertion_failed(std::string_view what,
                                   std::source_location where = std::source_location::current());

}  // namespace steppe

#define STEPPE_ASSERT(condition) \
  do {                           \
    if (!(condition)) [[unlikely]] ::steppe::assertion_failed(#condition); \
  } while (false)
