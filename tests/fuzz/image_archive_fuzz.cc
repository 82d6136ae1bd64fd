#include <cstdint>
#include <cstdlib>
#include <vector>

#include "image/fs/compression.h"
#include "image/fs/cpio.h"
#include "image/fs/pseudo.h"
#include "image/fs/tar.h"

namespace {
using namespace steppe;

constexpr Bytes kLimit = Bytes::mib(1);

// A tree that was read lies inside itself, holds no more than the limit, and can be written and read again.
void check(const Result<fs::Tree>& tree) {
  if (!tree.ok()) return;
  uint64_t total = 0;
  bool writable = true;
  for (const auto& [path, node] : tree->nodes()) {
    auto clean = fs::clean_path(path);
    if (!clean.ok() || *clean != path || path.empty()) std::abort();
    total += node.bytes().size() + node.target.size();
    writable = writable && node.kind != fs::NodeKind::kOther;
  }
  static_cast<void>(tree->resolve("a/b").ok());
  if (!writable) return;
  auto tar = fs::write_tar(*tree, 1);
  auto cpio = fs::write_cpio(*tree, 1);
  if (!tar.ok() || !cpio.ok()) std::abort();
  auto again = fs::read_cpio(as_bytes(*cpio), Bytes{total + 1});
  if (!again.ok() || again->nodes().size() != tree->nodes().size()) std::abort();
}
}  // namespace

// The first byte says what the rest is taken for.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1 || size > (1u << 20)) return 0;
  const std::vector<uint8_t> copy(data + 1, data + size);  // its end is the end of the memory
  const ByteView bytes(reinterpret_cast<const std::byte*>(copy.data()), copy.size());
  size_t used = 0;
  switch (data[0] % 4) {
    case 0: check(fs::read_cpio(bytes, kLimit)); break;
    case 1: check(fs::read_tar(bytes, kLimit)); break;
    case 2: check(fs::read_pseudo(bytes, kLimit)); break;
    default:
      static_cast<void>(fs::unzstd(bytes, kLimit, &used).ok());
      static_cast<void>(fs::unxz(bytes, kLimit).ok());
  }
  return 0;
}
