#include "image/fs/tar.h"

#include <format>

#include "init/base/text.h"

namespace steppe::fs {
namespace {

constexpr size_t kBlock = 512;

struct Header {
  std::string name, link;
  uint32_t mode = 0, uid = 0, gid = 0;
  char type = '0';
};

void put_octal(char* at, size_t width, uint64_t value) {
  const std::string text = std::format("{:0{}o}", value, width - 1);
  std::memcpy(at, text.data(), std::min(width - 1, text.size()));
}

void append_block(std::string& out, const Header& header, uint64_t size, uint32_t time_s) {
  char block[kBlock] = {};
  std::memcpy(block, header.name.data(), std::min<size_t>(header.name.size(), 100));
  put_octal(block + 100, 8, header.mode);
  put_octal(block + 108, 8, header.uid);
  put_octal(block + 116, 8, header.gid);
  put_octal(block + 124, 12, size);
  put_octal(block + 136, 12, time_s);
  std::memset(block + 148, ' ', 8);
  block[156] = header.type;
  std::memcpy(block + 157, header.link.data(), std::min<size_t>(header.link.size(), 100));
  std::memcpy(block + 257, "ustar  ", 8);  // GNU's, with which 'L' and 'K' are understood
  uint32_t sum = 0;
  for (const char byte : block) sum += static_cast<uint8_t>(byte);
  std::memcpy(block + 148, std::format("{:06o}", sum).c_str(), 7);
  out.append(block, kBlock);
}

void append_data(std::string& out, std::string_view data) {
  out += data;
  out.append((kBlock - data.size() % kBlock) % kBlock, '\0');
}

// A member of type 'L' or 'K' in front of one whose name or link does not fit.
void append_long(std::string& out, char type, std::string_view text) {
  if (text.size() <= 100) return;
  append_block(out, {.name = "././@LongLink", .type = type}, text.size() + 1, 0);
  append_data(out, std::string(text) + '\0');
}

std::string_view field(std::string_view block, size_t at, size_t size) {
  const std::string_view text = block.substr(at, size);
  return text.substr(0, text.find('\0'));
}

Result<uint64_t> number(std::string_view block, size_t at, size_t size) {
  if (static_cast<uint8_t>(block[at]) & 0x80) {  // GNU's base 256
    uint64_t value = 0;
    for (size_t i = 1; i < size; ++i) {
      if (value >> 55) return Error(Code::kCorrupt, "a number of a tar header is too large");
      value = value << 8 | static_cast<uint8_t>(block[at + i]);
    }
    return value;
  }
  uint64_t value = 0;
  for (const char digit : trim(field(block, at, size))) {
    if (digit < '0' || digit > '7') return Error(Code::kCorrupt, "a number of a tar header is not octal");
    value = value << 3 | static_cast<uint64_t>(digit - '0');
  }
  return value;
}

Result<> check_sum(std::string_view block) {
  STEPPE_TRY(const uint64_t wanted, number(block, 148, 8));
  uint64_t sum = 0;
  for (size_t i = 0; i < kBlock; ++i) sum += i >= 148 && i < 156 ? ' ' : static_cast<uint8_t>(block[i]);
  if (sum != wanted) return Error(Code::kCorrupt, "the checksum of a tar header is wrong");
  return {};
}

// What special members say about the next one.
struct Pending {
  std::string name, link;
  std::vector<std::string> attributes;
};

// Records "LENGTH KEY=VALUE\n" of a pax header (POSIX pax, "pax Extended Header").
Result<> read_pax(std::string_view text, Pending& pending) {
  while (!text.empty()) {
    const size_t space = text.find(' ');
    if (space == text.npos || space > 10) return Error(Code::kCorrupt, "a pax record has no length");
    STEPPE_TRY(const uint64_t length, parse_uint(text.substr(0, space)));
    if (length <= space + 1 || length > text.size()) return Error(Code::kCorrupt, "a pax record has a wrong length");
    std::string_view record = text.substr(space + 1, length - space - 2);
    const size_t equals = record.find('=');
    if (equals == record.npos) return Error(Code::kCorrupt, "a pax record has no '='");
    const std::string_view key = record.substr(0, equals), value = record.substr(equals + 1);
    if (key == "path") pending.name = value;
    if (key == "linkpath") pending.link = value;
    if (key.starts_with("SCHILY.xattr.")) pending.attributes.emplace_back(key.substr(13));
    text.remove_prefix(length);
  }
  return {};
}

Result<Header> read_header(std::string_view block, Pending& pending) {
  STEPPE_TRY_VOID(check_sum(block));
  Header header{
      .name = std::string(field(block, 0, 100)), .link = std::string(field(block, 157, 100)), .type = block[156]};
  const std::string_view prefix = field(block, 345, 155);
  if (block.substr(257, 6) == std::string_view("ustar\0", 6) && !prefix.empty())
    header.name = std::format("{}/{}", prefix, header.name);
  if (!pending.name.empty()) header.name = std::move(pending.name);
  if (!pending.link.empty()) header.link = std::move(pending.link);
  STEPPE_TRY(const uint64_t mode, number(block, 100, 8));
  STEPPE_TRY(const uint64_t uid, number(block, 108, 8));
  STEPPE_TRY(const uint64_t gid, number(block, 116, 8));
  header.mode = mode & 07777;
  header.uid = static_cast<uint32_t>(uid);
  header.gid = static_cast<uint32_t>(gid);
  return header;
}

Result<> add_member(Tree& tree, const Header& header, std::string_view data, Pending& pending) {
  Node node{.mode = header.mode, .uid = header.uid, .gid = header.gid, .attributes = std::move(pending.attributes)};
  switch (header.type) {
    case '5': node.kind = NodeKind::kDirectory; break;
    case '2':
      node.kind = NodeKind::kSymlink;
      node.target = header.link;
      break;
    case '1': {
      STEPPE_TRY(const std::string source, clean_path(header.link));
      const Node* linked = tree.find(source);
      if (linked == nullptr || linked->kind != NodeKind::kFile)
        return Error(Code::kCorrupt,
                     std::format("{}: a hard link to {}, which is not there", header.name, header.link));
      node = *linked;
      break;
    }
    case '0':
    case '\0':
    case '7': node.content = make_content(std::string(data)); break;
    case '3':
    case '4':
    case '6': node.kind = NodeKind::kOther; break;
    default: return Error(Code::kUnsupported, std::format("{}: tar member type '{}'", header.name, header.type));
  }
  pending = {};
  return tree.add(header.name, std::move(node)).wrap("tar");
}

}  // namespace

Result<std::string> write_tar(const Tree& tree, uint32_t time_s) {
  std::string out;
  for (const auto& [path, node] : tree.nodes()) {
    Header header{.name = path, .link = node.target, .mode = node.mode, .uid = node.uid, .gid = node.gid};
    switch (node.kind) {
      case NodeKind::kDirectory:
        header.type = '5';
        header.name += '/';
        break;
      case NodeKind::kFile: header.type = '0'; break;
      case NodeKind::kSymlink: header.type = '2'; break;
      case NodeKind::kOther:
        return Error(Code::kInvalid, std::format("{}: only files, directories and symlinks go into an image", path));
    }
    append_long(out, 'K', header.link);
    append_long(out, 'L', header.name);
    append_block(out, header, node.bytes().size(), time_s);
    append_data(out, node.bytes());
  }
  out.append(2 * kBlock, '\0');
  return out;
}

Result<Tree> read_tar(ByteView input, Bytes limit) {
  Tree tree;
  Pending pending;
  std::string_view rest = as_text(input);
  uint64_t left = limit.count;
  while (rest.size() >= kBlock && rest.substr(0, kBlock).find_first_not_of('\0') != rest.npos) {
    const std::string_view block = rest.substr(0, kBlock);
    STEPPE_TRY(const uint64_t size, number(block, 124, 12));
    rest.remove_prefix(kBlock);
    if (size > rest.size()) return Error(Code::kCorrupt, "the tar archive ends inside a file");
    const std::string_view data = rest.substr(0, size);
    rest.remove_prefix(std::min<uint64_t>(rest.size(), (size + kBlock - 1) / kBlock * kBlock));
    const char type = block[156];
    if (type == 'L' || type == 'K' || type == 'x' || type == 'g') {
      STEPPE_TRY_VOID(check_sum(block));
      if (size > 64u << 10) return Error(Code::kExhausted, "a special tar member of more than 64 KiB");
      if (type == 'L') pending.name = data.substr(0, data.find('\0'));
      if (type == 'K') pending.link = data.substr(0, data.find('\0'));
      if (type == 'x') STEPPE_TRY_VOID(read_pax(data, pending));
      continue;
    }
    if (size > left)
      return Error(Code::kExhausted, std::format("the tar archive holds more than {} bytes", limit.count));
    left -= size;
    STEPPE_TRY(const Header header, read_header(block, pending));
    STEPPE_TRY_VOID(add_member(tree, header, data, pending));
  }
  if (rest.size() < kBlock) return Error(Code::kCorrupt, "the tar archive has no end: it is cut off");
  return tree;
}

}  // namespace steppe::fs
