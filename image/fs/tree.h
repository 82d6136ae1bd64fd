#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "init/base/bytes.h"
#include "init/base/result.h"

namespace steppe::fs {

enum class NodeKind : uint8_t { kDirectory, kFile, kSymlink, kOther };  // kOther: devices, FIFOs, sockets

using Content = std::shared_ptr<const std::string>;
inline Content make_content(std::string bytes) { return std::make_shared<const std::string>(std::move(bytes)); }

struct Node {
  NodeKind kind = NodeKind::kFile;
  uint32_t mode = 0644;  // permission bits with set-id and sticky
  uint32_t uid = 0, gid = 0;
  Content content;                      // of a file; empty for a file of no bytes
  std::string target;                   // of a symlink
  std::vector<std::string> attributes;  // names of extended attributes: "security.capability"

  std::string_view bytes() const { return content ? std::string_view(*content) : std::string_view(); }
};

// A filesystem in memory, as it will be written: no owner, mode or time of the build host gets into it. Paths are
// relative ("usr/bin/steppe"); every parent is a node. Iteration is in byte order of the paths, a parent before what it
// holds, so whatever is written from a tree does not depend on the order in which it was filled.
class Tree {
 public:
  using Nodes = std::map<std::string, Node, std::less<>>;
  static constexpr size_t kMaxPath = 1024;  // bytes of a path
  static constexpr size_t kMaxNodes = 200'000;

  // Puts a node at `path` (a leading "./" or "/" is dropped), with its missing parents as 0755 directories. A file may
  // not stand where a directory is needed (kInvalid), nor another node at the same path (kExists), except that a
  // directory may be named again: the later mode counts. Empty parts, "." and ".." are kInvalid.
  Result<> add(std::string_view path, Node node);
  Result<> add_file(std::string_view path, std::string content, uint32_t mode = 0644);
  Result<> add_directory(std::string_view path, uint32_t mode = 0755);
  Result<> add_symlink(std::string_view path, std::string target);
  // As add(), but what was at the path before is replaced; a directory that holds something is not (kExists).
  Result<> replace(std::string_view path, Node node);

  const Node* find(std::string_view path) const;  // in the form in which add() keeps it
  // The file that `path` names when the symlinks of the tree are followed, at most 16 of them. kNotFound, kInvalid.
  Result<const Node*> resolve(std::string_view path) const;
  void remove(std::string_view path);  // with what is below; absent is fine
  const Nodes& nodes() const { return nodes_; }

 private:
  Result<> make_room(const std::string& path);
  Nodes nodes_;
};

// "./usr//bin/" -> kInvalid (empty part); "/usr/bin" -> "usr/bin"; "." and "./" -> "".
Result<std::string> clean_path(std::string_view path);

}  // namespace steppe::fs
