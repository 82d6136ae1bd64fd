#pragma once

#include <cstdint>
#include <string>

#include "init/base/bytes.h"
#include "init/base/result.h"
#include "init/upgrade/manifest.h"

namespace steppe::extension {

using upgrade::Digest;

inline constexpr uint64_t kBlock = 4096;  // of the data and of the tree, bytes

// The hash tree of dm-verity, format 1 with SHA-256 and blocks of 4,096 bytes (the kernel's
// Documentation/admin-guide/device-mapper/verity.rst): a digest is SHA-256 of salt and block; a block of the tree holds 128 of
// them, its rest zeros; the levels lie one after the other, the one nearest to the root first. One block of data has no tree:
// its digest is the root.
//
// How many blocks the tree over so many blocks of data has.
uint64_t tree_blocks(uint64_t data_blocks);

struct HashTree {
  std::string bytes;  // tree_blocks() of them; no superblock
  Digest root{};
};
// `data` is one block or more, whole ones alone; `salt` at most 256 bytes (kInvalid). Pure; linear in the data.
Result<HashTree> make_tree(ByteView data, ByteView salt);

}  // namespace steppe::extension
