#include "image/fs/tree.h"

#include <format>

#include "init/base/text.h"

namespace steppe::fs {

Result<std::string> clean_path(std::string_view path) {
  const std::string_view given = path;
  while (path.starts_with("./")) path.remove_prefix(2);
  if (path.starts_with('/')) path.remove_prefix(1);
  if (path.ends_with('/')) path.remove_suffix(1);
  if (path.empty() || path == ".") return std::string();
  if (path.size() > Tree::kMaxPath)
    return Error(Code::kExhausted, std::format("a path of {} bytes: at most {}", path.size(), Tree::kMaxPath));
  for (const std::string_view part : split(path, '/')) {
    if (part.empty() || part == "." || part == ".." || part.find('\0') != part.npos)
      return Error(Code::kInvalid, std::format("path \"{}\": parts may not be empty, \".\" or \"..\"", given));
    if (part.size() > 255)
      return Error(Code::kInvalid, std::format("path \"{}\": a part is longer than 255 bytes", given));
  }
  return std::string(path);
}

Result<> Tree::make_room(const std::string& path) {
  if (nodes_.size() >= kMaxNodes)
    return Error(Code::kExhausted, std::format("more than {} files in one tree", kMaxNodes));
  for (size_t slash = path.find('/'); slash != path.npos; slash = path.find('/', slash + 1)) {
    const std::string parent = path.substr(0, slash);
    const auto [at, added] = nodes_.try_emplace(parent, Node{.kind = NodeKind::kDirectory, .mode = 0755});
    if (!added && at->second.kind != NodeKind::kDirectory)
      return Error(Code::kInvalid, std::format("{}: {} is not a directory", path, parent));
  }
  return {};
}

Result<> Tree::add(std::string_view given, Node node) {
  STEPPE_TRY(const std::string path, clean_path(given));
  if (path.empty()) return {};  // the root itself: always there
  STEPPE_TRY_VOID(make_room(path));
  const bool directory = node.kind == NodeKind::kDirectory;
  const auto [at, added] = nodes_.try_emplace(path, std::move(node));
  if (added) return {};
  if (!directory || at->second.kind != NodeKind::kDirectory)
    return Error(Code::kExists, std::format("{}: there is something at this path already", path));
  at->second.mode = node.mode;
  return {};
}

Result<> Tree::replace(std::string_view given, Node node) {
  STEPPE_TRY(const std::string path, clean_path(given));
  const auto at = nodes_.find(path);
  if (at == nodes_.end()) return add(path, std::move(node));
  const auto next = std::next(at);
  if (at->second.kind == NodeKind::kDirectory && next != nodes_.end() && next->first.starts_with(path + "/"))
    return Error(Code::kExists, std::format("{}: a directory that holds something is not replaced", path));
  at->second = std::move(node);
  return {};
}

Result<> Tree::add_file(std::string_view path, std::string content, uint32_t mode) {
  return add(path, Node{.kind = NodeKind::kFile, .mode = mode, .content = make_content(std::move(content))});
}
Result<> Tree::add_directory(std::string_view path, uint32_t mode) {
  return add(path, Node{.kind = NodeKind::kDirectory, .mode = mode});
}
Result<> Tree::add_symlink(std::string_view path, std::string target) {
  return add(path, Node{.kind = NodeKind::kSymlink, .mode = 0777, .target = std::move(target)});
}

const Node* Tree::find(std::string_view path) const {
  const auto at = nodes_.find(path);
  return at == nodes_.end() ? nullptr : &at->second;
}

Result<const Node*> Tree::resolve(std::string_view given) const {
  STEPPE_TRY(std::string rest, clean_path(given));
  std::string done;
  for (int links = 0; links <= 16;) {
    const size_t slash = rest.find('/');
    const std::string part = rest.substr(0, slash);
    const std::string here = done.empty() ? part : done + "/" + part;
    const Node* node = find(here);
    if (node == nullptr) return Error(Code::kNotFound, std::format("{}: no such file", given));
    rest = slash == rest.npos ? std::string() : rest.substr(slash + 1);
    if (node->kind != NodeKind::kSymlink) {
      if (rest.empty()) return node;
      done = here;
      continue;
    }
    ++links;
    std::string_view target = node->target;
    if (target.starts_with('/')) done.clear();
    while (target.starts_with("../")) {
      target.remove_prefix(3);
      done.erase(done.find_last_of('/') == done.npos ? 0 : done.find_last_of('/'));
    }
    STEPPE_TRY(std::string next, clean_path(target));
    rest = rest.empty() ? next : next + "/" + rest;
  }
  return Error(Code::kInvalid, std::format("{}: more than 16 symbolic links", given));
}

void Tree::remove(std::string_view path) {
  const auto at = nodes_.find(path);
  if (at == nodes_.end()) return;
  const std::string below = at->first + "/";
  nodes_.erase(at);
  for (auto next = nodes_.lower_bound(below); next != nodes_.end() && next->first.starts_with(below);)
    next = nodes_.erase(next);
}

}  // namespace steppe::fs
