#pragma once

#include <map>
#include <string>
#include <vector>

#include "image/build/store.h"
#include "image/fs/tree.h"
#include "image/rootfs/modules.h"
#include "image/spec/lock.h"
#include "image/spec/spec.h"
#include "init/machine/hardening/table.h"

namespace steppe::build {

// The locked packages, opened once each.
class Packages {
 public:
  Packages(Store& store, const spec::Lock& lock) : store_(store), lock_(lock) {}
  Result<const fs::Tree*> open(spec::Role role, const std::string& name);
  // The one package of the kernel.
  Result<const fs::Tree*> kernel();
  Result<std::vector<const fs::Tree*>> all(spec::Role role);
  // One of the lock's; the tree stays until the end.
  Result<const fs::Tree*> open(const spec::LockedPackage& package);

 private:
  Store& store_;
  const spec::Lock& lock_;
  std::map<std::string, fs::Tree> opened_;  // by digest
};

struct Kernel {
  std::string release;                            // "6.12.107+deb13-amd64"
  fs::Content program;                            // vmlinuz
  fs::Content config;                             // boot/config-RELEASE, how it was built
  std::map<std::string, rootfs::Module> modules;  // all that go into the root
  std::vector<std::string> initrd;                // names, in load order: what mounting the root needs
  std::vector<std::string> absent;                // of the classes: patterns that this kernel has nothing for
  // Of the extensions made with the image, by the extension's name: its modules with all that they need, so that none depends on
  // what an image happens to hold.
  std::map<std::string, std::map<std::string, rootfs::Module>> extensions;
};
Result<Kernel> take_kernel(const spec::Spec& spec, Packages& packages);

// What exec tasks see: the packages' files without the spec's `remove`, its links, no set-id bits, empty mount points.
Result<fs::Tree> task_root(const spec::Spec& spec, Packages& packages);
// Where programs are prepared: the tools and a directory of the build host.
struct Shop {
  Workbench& bench;
  std::string scratch;
};
// A program of the build host, without its symbols if asked.
Result<std::string> take_program(const std::string& path, bool strip, const Shop& shop);

// What an extension made here holds: its packages' files, files and links, and its modules with an index of their own.
Result<fs::Tree> extension_root(const spec::Extension& extension, const Kernel& kernel, Packages& packages, const Shop& shop);
// The hardening table for this kernel and its modules.
Result<hardening::Table> decide_hardening(const spec::Spec& spec, const Kernel& kernel);

// The host's root, but for the task root's file.
Result<fs::Tree> host_root(const spec::Spec& spec, const Kernel& kernel, const hardening::Table& table, Packages& packages, const Shop& shop);

// /usr/lib/os-release, which is also the image's section .osrel: by IMAGE_VERSION the boot loader orders images.
std::string os_release(const spec::Spec& spec);

}  // namespace steppe::build
