#include <cstdint>
#include <cstdlib>
#include <vector>

#include "image/rootfs/modinfo.h"
#include "image/rootfs/scan.h"

// Any bytes as a kernel module and as a program on the host's side.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace steppe;
  const std::vector<uint8_t> copy(data, data + size);
  const ByteView bytes(reinterpret_cast<const std::byte*>(copy.data()), copy.size());
  auto info = rootfs::read_modinfo(bytes);
  if (info.ok() && info->name.empty()) std::abort();
  fs::Tree tree;
  if (!tree.add_file("usr/bin/x", std::string(as_text(bytes)), 0755).ok()) std::abort();
  static_cast<void>(rootfs::scan_root(tree));
  return 0;
}
