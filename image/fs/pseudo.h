#pragma once

#include "image/fs/tree.h"

namespace steppe::fs {

// What `unsquashfs -pf -` prints of a squashfs: one line a node ("usr/bin/a R TIME MODE UID GID SIZE OFFSET SPARSE"),
// one more for each extended attribute, then the data of all files. Gives back the tree as it is in the finished
// filesystem. kCorrupt names the line; `limit` bytes of content in all. Any bytes are safe to read.
Result<Tree> read_pseudo(ByteView bytes, Bytes limit);

}  // namespace steppe::fs
