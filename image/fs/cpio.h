#pragma once

#include <cstdint>
#include <string>

#include "image/fs/tree.h"

namespace steppe::fs {

// The archive that the kernel unpacks as its first root: "newc",
// Documentation/driver-api/early-userspace/buffer-format.rst. Inodes are numbered in path order from 1, every time is
// `time_s`, every owner 0: same tree, same bytes. kInvalid for a node that is neither file, directory nor symlink,
// kExhausted for a file of 4 GiB or more.
Result<std::string> write_cpio(const Tree& tree, uint32_t time_s);

// Reads what the kernel would: archives one after the other, zeros between them, any of them compressed by zstd.
// Bounded: `limit` bytes of content in all. Any bytes are safe to read.
Result<Tree> read_cpio(ByteView bytes, Bytes limit);

}  // namespace steppe::fs
