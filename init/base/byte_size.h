#pragma once

#include <string_view>

#include "init/base/bytes.h"
#include "init/base/result.h"

namespace steppe {

// "100GB", "1.5 MiB", "4096": a number, perhaps with a fraction, and a unit of thousands (k, kB, M, MB, G, GB, T, TB, P, PB)
// or of 1024 (Ki, KiB, …), in either case; without one, bytes. The sizes of Nomad's configuration. kInvalid says what is
// wrong.
Result<Bytes> parse_byte_size(std::string_view text);

}  // namespace steppe
