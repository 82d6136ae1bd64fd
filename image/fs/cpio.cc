#include "image/fs/cpio.h"

#include <charconv>
#include <format>

#include "image/fs/compression.h"

namespace steppe::fs {
namespace {

constexpr size_t kHeader = 110;
constexpr std::string_view kMagic = "070701";
constexpr std::string_view kTrailer = "TRAILER!!!";
constexpr uint32_t kTypeMask = 0170000, kDirectory = 0040000, kFile = 0100000, kSymlink = 0120000;

void pad(std::string& out) { out.append((4 - out.size() % 4) % 4, '\0'); }

struct Entry {
  uint32_t inode = 0, mode = 0, links = 1, time_s = 0;
};

void append_entry(std::string& out, std::string_view name, const Entry& entry, std::string_view content) {
  out += std::format("{}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}", kMagic,
                     entry.inode, entry.mode, 0, 0, entry.links, entry.time_s, content.size(), 0, 0, 0, 0,
                     name.size() + 1, 0);
  out += name;
  out += '\0';
  pad(out);
  out += content;
  pad(out);
}

Result<uint32_t> hex_field(std::string_view header, size_t index) {
  const std::string_view text = header.substr(6 + index * 8, 8);
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + 8, value, 16);
  if (error != std::errc() || end != text.data() + 8)
    return Error(Code::kCorrupt, "a cpio header field is no hexadecimal number");
  return value;
}

// One member at `at`, which moves behind it. False at the trailer.
Result<bool> read_entry(std::string_view bytes, size_t& at, Tree& tree, uint64_t& left) {
  if (bytes.size() - at < kHeader) return Error(Code::kCorrupt, "the cpio archive ends inside a header");
  const std::string_view header = bytes.substr(at, kHeader);
  STEPPE_TRY(const uint32_t mode, hex_field(header, 1));
  STEPPE_TRY(const uint32_t uid, hex_field(header, 2));
  STEPPE_TRY(const uint32_t gid, hex_field(header, 3));
  STEPPE_TRY(const uint32_t size, hex_field(header, 6));
  STEPPE_TRY(const uint32_t name_size, hex_field(header, 11));
  if (name_size == 0 || name_size > Tree::kMaxPath || name_size > bytes.size() - at - kHeader)
    return Error(Code::kCorrupt, std::format("a cpio name of {} bytes", name_size));
  const std::string_view name = bytes.substr(at + kHeader, name_size - 1);
  const size_t start = (at + kHeader + name_size + 3) / 4 * 4;
  if (start > bytes.size() || size > bytes.size() - start)
    return Error(Code::kCorrupt, std::format("the cpio archive ends inside {}", name));
  at = std::min(bytes.size(), (start + size + 3) / 4 * 4);
  if (name == kTrailer) return false;
  if (size > left) return Error(Code::kExhausted, "the cpio archive holds more than the limit");
  left -= size;
  Node node{.mode = mode & 07777, .uid = uid, .gid = gid};
  switch (mode & kTypeMask) {
    case kDirectory: node.kind = NodeKind::kDirectory; break;
    case kSymlink:
      node.kind = NodeKind::kSymlink;
      node.target = bytes.substr(start, size);
      break;
    case kFile:
      node.kind = NodeKind::kFile;
      node.content = make_content(std::string(bytes.substr(start, size)));
      break;
    default: node.kind = NodeKind::kOther;
  }
  STEPPE_TRY_VOID(tree.add(name, std::move(node)).wrap("cpio"));
  return true;
}

}  // namespace

Result<std::string> write_cpio(const Tree& tree, uint32_t time_s) {
  std::string out;
  uint32_t inode = 0;
  for (const auto& [path, node] : tree.nodes()) {
    Entry entry{.inode = ++inode, .time_s = time_s};
    std::string_view content;
    switch (node.kind) {
      case NodeKind::kDirectory:
        entry.mode = kDirectory | node.mode;
        entry.links = 2;
        break;
      case NodeKind::kFile:
        entry.mode = kFile | node.mode;
        content = node.bytes();
        break;
      case NodeKind::kSymlink:
        entry.mode = kSymlink | 0777;
        content = node.target;
        break;
      case NodeKind::kOther:
        return Error(Code::kInvalid,
                     std::format("{}: an initial root holds files, directories and symlinks only", path));
    }
    if (content.size() > 0xffffffffu)
      return Error(Code::kExhausted, std::format("{}: 4 GiB or more do not fit into a cpio archive", path));
    append_entry(out, path, entry, content);
  }
  append_entry(out, kTrailer, Entry{}, {});
  return out;
}

Result<Tree> read_cpio(ByteView input, Bytes limit) {
  Tree tree;
  uint64_t left = limit.count;
  const std::string_view bytes = as_text(input);
  size_t at = 0;
  while (at < bytes.size()) {
    if (bytes[at] == '\0') {
      ++at;
    } else if (bytes.substr(at).starts_with(kMagic)) {
      STEPPE_TRY(bool more, read_entry(bytes, at, tree, left));
      static_cast<void>(more);
    } else if (is_zstd(as_bytes(bytes.substr(at)))) {
      size_t used = 0;
      STEPPE_TRY(const std::string inner, unzstd(as_bytes(bytes.substr(at)), Bytes{left}, &used));
      for (size_t inside = 0; inside < inner.size();) {
        if (inner[inside] == '\0') {
          ++inside;
          continue;
        }
        if (!std::string_view(inner).substr(inside).starts_with(kMagic))
          return Error(Code::kCorrupt, "no cpio archive inside the zstd frame");
        STEPPE_TRY(bool more, read_entry(inner, inside, tree, left));
        static_cast<void>(more);
      }
      at += used;
    } else {
      return Error(Code::kCorrupt, std::format("neither a cpio header nor a zstd frame at byte {} of the initrd", at));
    }
  }
  return tree;
}

}  // namespace steppe::fs
