#include "image/build/root.h"

#include <algorithm>
#include <format>
#include <set>

#include "image/sign/key.h"
#include "image/spec/hardening.h"
#include "image/spec/module_classes.h"
#include "init/base/text.h"
#include "init/io/path_file.h"

namespace steppe::build {
namespace {

constexpr Bytes kMaxFile = Bytes::mib(512);

// "/usr/lib/x*" over "usr/lib/xyz".
bool matches(std::string_view pattern, std::string_view path) {
  if (pattern.starts_with('/')) pattern.remove_prefix(1);
  return glob_match(pattern, path);
}

std::vector<std::string> paths_like(const fs::Tree& tree, std::string_view pattern) {
  std::vector<std::string> out;
  for (const auto& [path, node] : tree.nodes()) {
    if (node.kind != fs::NodeKind::kDirectory && matches(pattern, path)) out.push_back(path);
  }
  return out;
}

Result<std::pair<std::string, std::string>> find_kernel(const fs::Tree& tree, const std::string& wanted,
                                                        std::string_view where) {
  std::vector<std::string> found;
  for (const std::string& path : paths_like(tree, "boot/vmlinuz-*")) {
    if (wanted.empty() || path == "boot/vmlinuz-" + wanted) found.push_back(path);
  }
  if (found.size() == 1) return std::pair(found[0], found[0].substr(13));
  if (found.empty())
    return Error(Code::kNotFound, std::format("{}: no boot/vmlinuz-{}", where, wanted.empty() ? "VERSION" : wanted));
  return Error(Code::kInvalid,
               std::format("{}: several kernels ({}): say which with kernel.version", where, join(found, ", ")));
}

// What patterns of names name. A pattern for a module that is built in names none.
Result<std::set<std::string>> named_modules(const spec::TextList& patterns, const rootfs::ModuleSet& set) {
  std::set<std::string> names;
  for (const std::string& pattern : patterns) {
    const auto found = set.match(pattern);
    if (found.empty() && !set.is_builtin(pattern)) return Error(Code::kNotFound, std::format("modules: the kernel has no module \"{}\"", pattern));
    names.insert(found.begin(), found.end());
  }
  return names;
}

Result<std::vector<std::string>> wanted_modules(const spec::Kernel& spec, rootfs::ModuleSet& set,
                                                std::vector<std::string>& absent) {
  std::set<std::string> names;
  for (const std::string& name : spec.classes) {
    for (const std::string_view pattern : spec::find_module_class(name)->patterns) {
      const auto found = set.match(pattern);
      if (found.empty() && !set.is_builtin(pattern)) absent.push_back(std::format("{}/{}", name, pattern));
      names.insert(found.begin(), found.end());
    }
  }
  STEPPE_TRY(std::set<std::string> named, named_modules(spec.modules, set).wrap("kernel"));
  names.merge(named);
  for (const std::string& name : spec.initrd) {
    if (set.has(name))
      names.insert(rootfs::plain_name(name));
    else if (!set.is_builtin(name))
      return Error(Code::kNotFound, std::format("kernel.initrd: the kernel has no module \"{}\"", name));
  }
  return std::vector<std::string>(names.begin(), names.end());
}

Result<> copy_package_files(const std::vector<spec::PackageFiles>& wanted, spec::Role role, Packages& packages, fs::Tree& root) {
  for (const spec::PackageFiles& one : wanted) {
    STEPPE_TRY(const fs::Tree* tree, packages.open(role, one.package));
    for (const std::string& pattern : one.files) {
      const auto paths = paths_like(*tree, pattern);
      if (paths.empty())
        return Error(Code::kNotFound, std::format("package \"{}\": no file like {}", one.package, pattern));
      for (const std::string& path : paths) STEPPE_TRY_VOID(root.add(path, *tree->find(path)));
    }
  }
  return {};
}

Result<> copy_bundles(const spec::Spec& spec, Packages& packages, fs::Tree& root) {
  for (const spec::Bundle& one : spec.bundles) {
    STEPPE_TRY(const fs::Tree* tree, packages.open(spec::Role::kRoot, one.package));
    std::string content;
    for (const std::string& pattern : one.files) {
      const auto paths = paths_like(*tree, pattern);
      if (paths.empty())
        return Error(Code::kNotFound,
                     std::format("bundle \"{}\": {} has no file like {}", one.path, one.package, pattern));
      for (const std::string& path : paths) {
        content += tree->find(path)->bytes();
        if (!content.ends_with('\n')) content += '\n';
      }
    }
    STEPPE_TRY_VOID(root.add_file(one.path, std::move(content)));
  }
  return {};
}

Result<> add_modules(const std::string& release, const std::map<std::string, rootfs::Module>& modules, fs::Tree& root) {
  const std::string directory = "usr/lib/modules/" + release + "/";
  for (const auto& [name, module] : modules) STEPPE_TRY_VOID(root.add(directory + module.path, fs::Node{.content = module.content}));
  return root.add_file(directory + "modules.index", rootfs::write_module_index(modules));
}

Result<> add_files(const std::vector<spec::File>& files, const std::vector<spec::Link>& links, const Shop& shop, fs::Tree& root) {
  for (const spec::File& one : files) {
    std::string content = one.content.value_or("");
    if (!one.content) {
      STEPPE_TRY(content, take_program(one.source, one.strip, shop).wrap(std::format("file \"{}\"", one.path)));
    }
    STEPPE_TRY_VOID(root.add_file(one.path, std::move(content), one.mode));
  }
  for (const spec::Link& one : links) STEPPE_TRY_VOID(root.add_symlink(one.path, one.target));
  return {};
}

}  // namespace

Result<const fs::Tree*> Packages::open(const spec::LockedPackage& package) {
  if (const auto known = opened_.find(package.digest); known != opened_.end()) return &known->second;
  STEPPE_TRY(fs::Tree tree, store_.open(package));
  return &opened_.emplace(package.digest, std::move(tree)).first->second;
}

Result<const fs::Tree*> Packages::open(spec::Role role, const std::string& name) {
  for (const spec::LockedPackage& one : lock_.packages) {
    if (one.role == role && one.name == name) return open(one);
  }
  return Error(Code::kNotFound, std::format("{}: not in the lock; run steppe-image lock", name));
}

Result<const fs::Tree*> Packages::kernel() {
  for (const spec::LockedPackage& one : lock_.packages) {
    if (one.role == spec::Role::kKernel) return open(one);
  }
  return Error(Code::kNotFound, "the lock names no kernel; run steppe-image lock");
}

Result<std::vector<const fs::Tree*>> Packages::all(spec::Role role) {
  std::vector<const fs::Tree*> out;
  for (const spec::LockedPackage& one : lock_.packages) {
    if (one.role != role) continue;
    STEPPE_TRY(const fs::Tree* tree, open(one));
    out.push_back(tree);
  }
  return out;
}

Result<Kernel> take_kernel(const spec::Spec& spec, Packages& packages) {
  fs::Tree own;
  const fs::Tree* tree = &own;
  const std::string& directory = spec.kernel.directory;
  if (directory.empty()) {
    STEPPE_TRY(tree, packages.kernel());
  } else {
    STEPPE_TRY(own, read_host_tree(directory + "/boot", "boot", Bytes::gib(1)));
  }
  STEPPE_TRY(const auto found,
             find_kernel(*tree, spec.kernel.version, directory.empty() ? spec.kernel.package : directory));
  Kernel kernel{.release = found.second, .program = tree->find(found.first)->content, .config = {}};
  const fs::Node* config = tree->find("boot/config-" + kernel.release);
  if (config == nullptr)
    return Error(Code::kNotFound, std::format("no boot/config-{} beside the kernel: how it was built cannot be checked "
                                              "against the hardening table", kernel.release));
  kernel.config = config->content;
  std::string module_directory = "usr/lib/modules/" + kernel.release;
  if (!directory.empty()) {
    STEPPE_TRY(own, read_host_tree(directory + "/lib/modules/" + kernel.release, module_directory, Bytes::gib(2)));
  } else if (tree->find(module_directory) == nullptr) {
    module_directory = "lib/modules/" + kernel.release;
  }
  STEPPE_TRY(rootfs::ModuleSet set, rootfs::ModuleSet::open(*tree, module_directory));
  STEPPE_TRY(const auto names, wanted_modules(spec.kernel, set, kernel.absent));
  STEPPE_TRY(kernel.modules, set.select(names));
  for (const spec::Extension& extension : spec.extensions) {
    if (extension.modules.empty()) continue;
    const std::string where = std::format("extension \"{}\"", extension.name);
    STEPPE_TRY(const auto own_names, named_modules(extension.modules, set).wrap(where));
    STEPPE_TRY(kernel.extensions[extension.name], set.select({own_names.begin(), own_names.end()}).wrap(where));
  }
  for (const std::string& wanted : spec.kernel.initrd) {
    const auto module = kernel.modules.find(rootfs::plain_name(wanted));
    if (module == kernel.modules.end()) continue;  // built in
    std::vector<std::string> order = module->second.needs;
    order.push_back(module->first);
    for (const std::string& name : order) {
      if (!std::ranges::contains(kernel.initrd, name)) kernel.initrd.push_back(name);
    }
  }
  return kernel;
}

Result<fs::Tree> task_root(const spec::Spec& spec, Packages& packages) {
  fs::Tree out;
  STEPPE_TRY(const auto trees, packages.all(spec::Role::kTask));
  for (const fs::Tree* tree : trees) {
    for (const auto& [path, node] : tree->nodes()) {
      if (std::ranges::any_of(spec.task_root.remove,
                              [&](const std::string& pattern) { return matches(pattern, path); }))
        continue;
      if (node.kind == fs::NodeKind::kOther) continue;
      fs::Node copy = node;
      copy.uid = copy.gid = 0;
      copy.mode &= 01777;  // no task gains anything by running a file
      copy.attributes.clear();
      STEPPE_TRY_VOID(out.add(path, std::move(copy)).wrap("task root"));
    }
  }
  for (const auto& [path, target] : spec.task_root.links) {
    fs::Node link{.kind = fs::NodeKind::kSymlink, .mode = 0777, .target = target};
    STEPPE_TRY_VOID(out.replace(path, std::move(link)).wrap("task root"));
  }
  // run/resolv.conf.d, run/trust: where steppe-node's directories with the machine's resolv.conf and authorities are mounted for tasks
  // (init/machine/node/configure.cc).
  for (const char* path : {"dev", "proc", "sys", "run", "run/resolv.conf.d", "run/trust", "tmp", "var", "etc", "root", "alloc", "local", "secrets"}) {
    if (out.find(path) == nullptr)
      STEPPE_TRY_VOID(out.add_directory(path, std::string_view(path) == "tmp" ? 01777 : 0755));
  }
  return out;
}

std::string os_release(const spec::Spec& spec) {
  const spec::Image& image = spec.image;
  return std::format(
      "NAME=\"Steppe\"\nPRETTY_NAME=\"Steppe "
      "{0}\"\nID=steppe\nVERSION_ID={0}\nIMAGE_ID={1}\nIMAGE_VERSION={0}\nSTEPPE_SECURITY_VERSION={2}\nSTEPPE_ARCH={3}"
      "\n",
      image.version, image.name, image.security_version, spec::architecture_name(image.architecture));
}

Result<std::string> take_program(const std::string& path, bool strip, const Shop& shop) {
  if (!strip) return io::read_path(path, kMaxFile);
  STEPPE_TRY(const kernel::Beneath scratch, open_directory(shop.scratch));
  STEPPE_TRY_VOID(
      shop.bench.run({.program = "strip", .arguments = {"--strip-all", "-o", shop.scratch + "/stripped", path}}));
  STEPPE_TRY(std::string bytes, scratch.read("stripped", kMaxFile));
  STEPPE_TRY_VOID(scratch.remove_tree("stripped"));
  return bytes;
}

Result<fs::Tree> extension_root(const spec::Extension& extension, const Kernel& kernel, Packages& packages, const Shop& shop) {
  fs::Tree root;
  STEPPE_TRY_VOID(copy_package_files(extension.packages, spec::Role::kExtension, packages, root));
  STEPPE_TRY_VOID(add_files(extension.files, extension.links, shop, root));
  if (const auto modules = kernel.extensions.find(extension.name); modules != kernel.extensions.end())
    STEPPE_TRY_VOID(add_modules(kernel.release, modules->second, root));
  return root;
}

Result<hardening::Table> decide_hardening(const spec::Spec& spec, const Kernel& kernel) {
  spec::HardeningInput input{.requirements = {}, .kernel_release = kernel.release, .kernel_config = kernel.config ? *kernel.config : "", .module_names = {}};
  for (const auto rows : {spec::hardening_requirements(), spec::kernel_requirements()})
    input.requirements.insert(input.requirements.end(), rows.begin(), rows.end());
  for (const auto& [name, module] : kernel.modules) input.module_names.insert(name);
  return spec::decide_hardening(spec, input);
}

Result<fs::Tree> host_root(const spec::Spec& spec, const Kernel& kernel, const hardening::Table& table, Packages& packages, const Shop& shop) {
  fs::Tree root;
  for (const char* path : {"dev", "proc", "sys", "run", "var", "state", "data", "efi", "etc/steppe"})
    STEPPE_TRY_VOID(root.add_directory(path));
  STEPPE_TRY_VOID(root.add_directory("tmp", 01777));
  STEPPE_TRY_VOID(copy_package_files(spec.packages, spec::Role::kRoot, packages, root));
  STEPPE_TRY_VOID(copy_bundles(spec, packages, root));
  STEPPE_TRY_VOID(add_modules(kernel.release, kernel.modules, root));
  STEPPE_TRY_VOID(root.add_file("usr/lib/os-release", os_release(spec)));
  STEPPE_TRY_VOID(root.add_symlink("etc/os-release", "../usr/lib/os-release"));
  STEPPE_TRY_VOID(root.add_file(hardening::kTableFile, hardening::write_table(table)));
  STEPPE_TRY_VOID(root.add_file(hardening::kSettingsFile, hardening::settings_file(table)));
  for (const spec::Directory& one : spec.directories) STEPPE_TRY_VOID(root.add_directory(one.path, one.mode));
  STEPPE_TRY_VOID(add_files(spec.files, spec.links, shop, root));
  for (size_t i = 0; i < spec.signing.also_trusted.size(); ++i) {
    const std::string& path = spec.signing.also_trusted[i];
    STEPPE_TRY(const std::string pem, io::read_path(path, Bytes::mib(1)).wrap("sign.also_trusted"));
    STEPPE_TRY(const sign::Certificate certificate, sign::Certificate::parse_pem(pem, path));
    STEPPE_TRY_VOID(root.add_file(std::format("usr/share/steppe/extension-keys/{}.crt", i), certificate.pem()));
  }
  // A machine takes images of whoever made the one that it runs (init/upgrade/esp), and extensions by their keys.
  if (!spec.signing.certificate.empty()) {
    STEPPE_TRY(std::string certificate, io::read_path(spec.signing.certificate, Bytes::mib(1)).wrap("sign.certificate"));
    STEPPE_TRY_VOID(root.add_file("usr/share/steppe/keys/image.crt", std::move(certificate)));
  }
  return root;
}

}  // namespace steppe::build
