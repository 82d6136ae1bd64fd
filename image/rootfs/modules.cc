#include "image/rootfs/modules.h"

#include <algorithm>
#include <format>

#include "image/fs/compression.h"
#include "init/base/text.h"

namespace steppe::rootfs {
namespace {

constexpr Bytes kMaxModule = Bytes::mib(64);
constexpr size_t kMaxDepth = 64, kMaxAlias = 900;

// "kernel/fs/ext4/ext4.ko.xz" -> "kernel/fs/ext4/ext4"; "" for what is no module.
std::string_view stem(std::string_view path) {
  for (const std::string_view suffix : {".ko", ".ko.xz", ".ko.zst"}) {
    if (path.ends_with(suffix)) return path.substr(0, path.size() - suffix.size());
  }
  return {};
}
std::string_view base_name(std::string_view path) { return path.substr(path.rfind('/') + 1); }

Result<fs::Content> unpack(const fs::Node& node) {
  const ByteView bytes = as_bytes(node.bytes());
  if (fs::is_xz(bytes)) {
    STEPPE_TRY(std::string plain, fs::unxz(bytes, kMaxModule));
    return fs::make_content(std::move(plain));
  }
  if (fs::is_zstd(bytes)) {
    size_t used = 0;
    STEPPE_TRY(std::string plain, fs::unzstd(bytes, kMaxModule, &used));
    return fs::make_content(std::move(plain));
  }
  return node.content ? node.content : fs::make_content("");
}

}  // namespace

Result<ModuleSet> ModuleSet::open(const fs::Tree& tree, const std::string& directory) {
  ModuleSet set(tree);
  set.directory_ = directory + "/";
  for (auto at = tree.nodes().lower_bound(set.directory_);
       at != tree.nodes().end() && at->first.starts_with(set.directory_); ++at) {
    const auto& [path, node] = *at;
    const std::string_view module = stem(path);
    if (node.kind != fs::NodeKind::kFile || module.empty()) continue;
    if (!set.paths_.try_emplace(plain_name(base_name(module)), path).second)
      return Error(Code::kInvalid, std::format("{}: two modules of this name", path));
  }
  if (set.paths_.empty()) return Error(Code::kNotFound, std::format("no kernel modules below {}", directory));
  if (const fs::Node* builtin = tree.find(directory + "/modules.builtin")) {
    for (const std::string_view line : split(builtin->bytes(), '\n')) {
      if (const std::string_view module = stem(line); !module.empty())
        set.builtin_.insert(plain_name(base_name(module)));
    }
  }
  return set;
}

std::vector<std::string> ModuleSet::match(std::string_view pattern) const {
  std::vector<std::string> out;
  const bool by_path = pattern.contains('/');
  const std::string plain = by_path ? std::string(pattern) : plain_name(pattern);
  for (const auto& [name, path] : paths_) {
    const std::string_view subject =
        by_path ? stem(std::string_view(path).substr(directory_.size())) : std::string_view(name);
    if (glob_match(plain, subject)) out.push_back(name);
  }
  return out;
}

Result<const ModuleSet::Loaded*> ModuleSet::load(const std::string& name) {
  if (const auto known = loaded_.find(name); known != loaded_.end()) return &known->second;
  const auto path = paths_.find(name);
  if (path == paths_.end()) return Error(Code::kNotFound, std::format("the kernel has no module \"{}\"", name));
  auto content = unpack(*tree_->find(path->second));
  if (!content.ok()) return std::move(content).error().wrap(path->second);
  auto info = read_modinfo(as_bytes(**content));
  if (!info.ok()) return std::move(info).error().wrap(path->second);
  return &loaded_.emplace(name, Loaded{*std::move(info), *std::move(content)}).first->second;
}

std::vector<std::string> ModuleSet::direct_needs(const ModuleInfo& info) const {
  std::vector<std::string> out = info.depends;
  for (const std::string& wish : info.wishes_first) {
    std::string name = plain_name(wish);
    if (name.starts_with("crypto_") && !has(name)) name.erase(0, 7);  // the alias by which the kernel asks for a cipher
    if (has(name))
      out.push_back(name);
    else if (has(name + "_generic"))
      out.push_back(name + "_generic");
  }
  return out;
}

Result<> ModuleSet::visit(const std::string& name, std::vector<std::string>& order, std::set<std::string>& open) {
  if (std::ranges::contains(order, name)) return {};
  if (open.size() >= kMaxDepth)
    return Error(Code::kInvalid, std::format("{}: needs modules more than {} deep", name, kMaxDepth));
  if (!open.insert(name).second) return {};  // a circle of wishes: whoever comes first loads first
  STEPPE_TRY(const Loaded* module, load(name));
  for (const std::string& need : direct_needs(module->info)) {
    if (!has(need) && is_builtin(need)) continue;
    STEPPE_TRY_VOID(visit(need, order, open).wrap(std::format("module {}", name)));
  }
  open.erase(name);
  order.push_back(name);
  return {};
}

Result<std::map<std::string, Module>> ModuleSet::select(const std::vector<std::string>& names) {
  std::map<std::string, Module> out;
  std::vector<std::string> queue = names;
  while (!queue.empty()) {
    const std::string name = plain_name(queue.back());
    queue.pop_back();
    if (out.contains(name)) continue;
    std::vector<std::string> order;
    std::set<std::string> open;
    STEPPE_TRY_VOID(visit(name, order, open));
    order.pop_back();
    const Loaded& loaded = loaded_.at(name);
    Module module{.name = name, .content = loaded.content, .needs = order, .aliases = loaded.info.aliases};
    module.path = std::string(stem(std::string_view(paths_.at(name)).substr(directory_.size()))) + ".ko";
    out.emplace(name, std::move(module));
    queue.insert(queue.end(), order.begin(), order.end());
  }
  return out;
}

std::string write_module_index(const std::map<std::string, Module>& modules) {
  std::string out = "steppe-modules 1\n";
  std::vector<std::string> files, aliases;
  for (const auto& [name, module] : modules) {
    files.push_back(
        std::format("file {} {}{}{}\n", name, module.path, module.needs.empty() ? "" : " ", join(module.needs, ",")));
    for (const std::string& alias : module.aliases) {
      if (alias.size() < kMaxAlias && alias.find_first_of(" \n\t") == alias.npos)
        aliases.push_back(std::format("alias {} {}\n", alias, name));
    }
  }
  std::ranges::sort(files);
  std::ranges::sort(aliases);
  aliases.erase(std::ranges::unique(aliases).begin(), aliases.end());
  for (const std::string& line : files) out += line;
  for (const std::string& line : aliases) out += line;
  return out;
}

}  // namespace steppe::rootfs
