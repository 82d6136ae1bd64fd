#include "image/fs/pseudo.h"

#include <format>

#include "init/base/text.h"

namespace steppe::fs {
namespace {

constexpr std::string_view kDataMark = "#\n# START OF DATA - DO NOT MODIFY\n#\n";

// The path at the line's start, where a backslash takes the next byte as it is; `line` moves behind the space.
std::string take_path(std::string_view& line) {
  std::string path;
  size_t at = 0;
  for (; at < line.size() && line[at] != ' '; ++at) {
    if (line[at] == '\\' && at + 1 < line.size()) ++at;
    path += line[at];
  }
  line.remove_prefix(std::min(line.size(), at + 1));
  return path;
}

Result<uint32_t> small(std::string_view text, int base) {
  uint64_t value = 0;
  for (const char digit : text) {
    if (digit < '0' || digit >= '0' + base || value > 0xffffffffu)
      return Error(Code::kCorrupt, std::format("\"{}\" is no number", text));
    value = value * static_cast<uint64_t>(base) + static_cast<uint64_t>(digit - '0');
  }
  if (text.empty() || value > 0xffffffffu)
    return Error(Code::kCorrupt, std::format("\"{}\" is no number of 32 bits", text));
  return static_cast<uint32_t>(value);
}

struct Data {
  std::string_view bytes;
  uint64_t left;
};

Result<> add_line(std::string_view line, Tree& tree, Data& data) {
  std::string path = take_path(line);
  if (path == "/") path.clear();
  const std::string_view text = line;
  const auto words = split(line, ' ');
  if (words.size() >= 2 && words[0] == "x") {
    const Node* found = tree.find(path);
    if (found == nullptr)
      return path.empty() ? Result<>()
                          : Result<>(Code::kCorrupt, std::format("an attribute of {}, which is not there", path));
    Node node = *found;
    node.attributes.emplace_back(words[1].substr(0, words[1].find('=')));
    if (node.kind == NodeKind::kDirectory) return {};  // capabilities and the like are of files
    return tree.replace(path, std::move(node));
  }
  if (words.size() < 5 || words[0].size() != 1) return Error(Code::kCorrupt, "too few columns");
  Node node{.kind = NodeKind::kOther};
  STEPPE_TRY(node.mode, small(words[2], 8));
  STEPPE_TRY(node.uid, small(words[3], 10));
  STEPPE_TRY(node.gid, small(words[4], 10));
  switch (words[0][0]) {
    case 'D': node.kind = NodeKind::kDirectory; break;
    case 'S': {
      if (words.size() < 6) return Error(Code::kCorrupt, "a symlink without a target");
      node.kind = NodeKind::kSymlink;
      node.target = text.substr(static_cast<size_t>(words[5].data() - text.data()));
      break;
    }
    case 'R': {
      if (words.size() < 7) return Error(Code::kCorrupt, "a file without size and offset");
      STEPPE_TRY(const uint32_t size, small(words[5], 10));
      STEPPE_TRY(const uint32_t offset, small(words[6], 10));
      if (offset > data.bytes.size() || size > data.bytes.size() - offset)
        return Error(Code::kCorrupt, "the data of a file is missing");
      if (size > data.left) return Error(Code::kExhausted, "more content than the limit");
      data.left -= size;
      node.kind = NodeKind::kFile;
      node.content = make_content(std::string(data.bytes.substr(offset, size)));
      break;
    }
    default: break;
  }
  return tree.add(path, std::move(node));
}

}  // namespace

Result<Tree> read_pseudo(ByteView bytes, Bytes limit) {
  const std::string_view text = as_text(bytes);
  const size_t mark = text.find(kDataMark);
  std::string_view head = text.substr(0, mark);
  Data data{mark == text.npos ? std::string_view() : text.substr(mark + kDataMark.size()), limit.count};
  Tree tree;
  for (size_t number = 1; !head.empty(); ++number) {
    const std::string_view line = head.substr(0, head.find('\n'));
    head.remove_prefix(std::min(head.size(), line.size() + 1));
    if (line.empty() || line[0] == '#') continue;
    STEPPE_TRY_VOID(add_line(line, tree, data).wrap(std::format("list of a squashfs, line {}", number)));
  }
  return tree;
}

}  // namespace steppe::fs
