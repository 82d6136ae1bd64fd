#pragma once

#include <cstddef>
#include <string>

#include "init/base/bytes.h"
#include "init/base/result.h"

namespace steppe::fs {

// One zstd frame at level 1..22, by one thread: the bytes depend on the input, the level and the library alone.
Result<std::string> zstd(ByteView bytes, int level);
bool is_zstd(ByteView bytes);
// The first frame of `bytes`; *used becomes its length. kExhausted past `limit` bytes of output, kCorrupt.
Result<std::string> unzstd(ByteView bytes, Bytes limit, size_t* used);

bool is_xz(ByteView bytes);
// A whole .xz file, with its checks. kExhausted past `limit` bytes of output, kCorrupt.
Result<std::string> unxz(ByteView bytes, Bytes limit);

}  // namespace steppe::fs
