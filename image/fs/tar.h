#pragma once

#include <cstdint>
#include <string>

#include "image/fs/tree.h"

namespace steppe::fs {

// A tree as a tar archive (ustar; GNU's long names where they are needed), owners as they are, every time `time_s`:
// what sqfstar(1) reads. Same tree, same bytes.
Result<std::string> write_tar(const Tree& tree, uint32_t time_s);

// Reads the tar archive of a Debian package: ustar and GNU's long names, hard links (they become copies), pax headers
// (path, linkpath; SCHILY.xattr.* as attribute names). Owners and modes as they stand; devices become kOther. Every
// path stays inside; `limit` bytes of content in all. Any bytes are safe to read.
Result<Tree> read_tar(ByteView bytes, Bytes limit);

}  // namespace steppe::fs
