#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "image/fs/tree.h"
#include "image/rootfs/modinfo.h"
#include "init/base/result.h"

namespace steppe::rootfs {

// One module on its way into an image.
struct Module {
  std::string name;
  std::string path;                // below the kernel's module directory: "kernel/drivers/nvme/host/nvme.ko"
  fs::Content content;             // uncompressed, its signature kept
  std::vector<std::string> needs;  // all, transitively, in load order
  std::vector<std::string> aliases;
};

// The modules of one kernel, found by name or pattern in the tree of its package. Each is uncompressed when it is first
// asked for. Refers to the tree, which must outlive it.
class ModuleSet {
 public:
  // `directory` is the kernel's module directory in `tree`: "usr/lib/modules/6.12.107+deb13-amd64". kNotFound when it
  // is not there or holds no module.
  static Result<ModuleSet> open(const fs::Tree& tree, const std::string& directory);

  // Names of the modules that the pattern (module_classes.h) matches, sorted.
  std::vector<std::string> match(std::string_view pattern) const;
  bool has(std::string_view name) const { return paths_.contains(plain_name(name)); }
  bool is_builtin(std::string_view name) const { return builtin_.contains(plain_name(name)); }

  // The named modules and all that they need, by name. A need is what the module's `depends` says and, of what it
  // wishes to have before it, the module of that name or its "_generic" form where there is one. kNotFound names what
  // is missing.
  Result<std::map<std::string, Module>> select(const std::vector<std::string>& names);

 private:
  struct Loaded {
    ModuleInfo info;
    fs::Content content;
  };
  explicit ModuleSet(const fs::Tree& tree) : tree_(&tree) {}
  Result<const Loaded*> load(const std::string& name);
  Result<> visit(const std::string& name, std::vector<std::string>& order, std::set<std::string>& open);
  std::vector<std::string> direct_needs(const ModuleInfo& info) const;

  const fs::Tree* tree_;
  std::string directory_;
  std::map<std::string, std::string, std::less<>> paths_;  // name -> path in the tree
  std::set<std::string, std::less<>> builtin_;
  std::map<std::string, Loaded> loaded_;
};

// modules.index, which PID 1 reads (init/boot/module_index.h says how): version line, `file NAME PATH DEP,DEP,…` lines
// sorted by name, `alias PATTERN NAME` lines sorted bytewise. Aliases with a space or of 900 bytes and more are left
// out.
std::string write_module_index(const std::map<std::string, Module>& modules);

}  // namespace steppe::rootfs
