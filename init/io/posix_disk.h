#pragma once

#include <memory>
#include <string>

#include "init/base/result.h"
#include "init/io/disk.h"
#include "init/io/loop.h"

namespace steppe::io {

// Where the calls of a disk block: on the loop's pool, or on the loop itself. Inline saves two thread
// switches an operation; it suits a loop whose one duty is the disk, and tools.
enum class DiskCalls : uint8_t { kOnPool, kInline };

// Opens (and, if missing, makes with mode 0700) the directory at an absolute path. The loop must
// outlive all that is opened below it.
Result<std::unique_ptr<Directory>> open_posix_directory(Loop& loop, const std::string& path, DiskCalls calls);

}  // namespace steppe::io
