#include "init/base/assert.h"

#include <cstdio>
#include <cstdlib>

namespace steppe {

void assertion_failed(std::string_view what, std::source_location where) {
  std::fprintf(stderr, "%s:%u: assertion failed: %.*s\n", where.file_name(), where.line(),
               static_cast<int>(what.size()), what.data());
  std::abort();
}

}  // namespace steppe
