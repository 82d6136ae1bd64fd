#include "init/upgrade/extension/hash_tree.h"

#include <format>
#include <vector>

namespace steppe::extension {
namespace {

constexpr uint64_t kPerBlock = kBlock / sizeof(Digest);
constexpr size_t kMaxSalt = 256;  // DM_VERITY's own limit (drivers/md/dm-verity-target.c: the salt is no longer than a block)

uint64_t blocks_over(uint64_t below) { return (below + kPerBlock - 1) / kPerBlock; }

// The digests of all blocks, padded to whole blocks with zeros.
std::string level_over(ByteView blocks, ByteView salt) {
  const uint64_t count = blocks.size() / kBlock;
  std::string out(blocks_over(count) * kBlock, '\0');
  std::string salted(as_text(salt));
  salted.resize(salt.size() + kBlock);
  for (uint64_t i = 0; i < count; ++i) {
    std::memcpy(salted.data() + salt.size(), blocks.data() + i * kBlock, kBlock);
    const Digest digest = upgrade::sha256(as_bytes(salted));
    std::memcpy(out.data() + i * digest.size(), digest.data(), digest.size());
  }
  return out;
}

}  // namespace

uint64_t tree_blocks(uint64_t data_blocks) {
  uint64_t all = 0;
  for (uint64_t level = data_blocks; level > 1;) {
    level = blocks_over(level);
    all += level;
  }
  return all;
}

Result<HashTree> make_tree(ByteView data, ByteView salt) {
  if (data.empty() || data.size() % kBlock != 0) return Error(Code::kInvalid, std::format("hash tree: {} bytes of data are not whole blocks", data.size()));
  if (salt.size() > kMaxSalt) return Error(Code::kInvalid, "hash tree: a salt has 256 bytes at most");
  std::vector<std::string> levels;
  ByteView below = data;
  while (below.size() > kBlock) {
    levels.push_back(level_over(below, salt));
    below = as_bytes(levels.back());
  }
  HashTree out;
  const std::string top = level_over(below, salt);
  std::memcpy(out.root.data(), top.data(), out.root.size());
  for (auto level = levels.rbegin(); level != levels.rend(); ++level) out.bytes += *level;
  return out;
}

}  // namespace steppe::extension
