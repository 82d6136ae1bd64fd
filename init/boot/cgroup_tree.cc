#include "init/boot/cgroup_tree.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

namespace steppe::boot {
namespace {

constexpr const char* kMount = "/sys/fs/cgroup";

Result<> write_file(int directory, const char* name, std::string_view value) {
  kernel::Fd file(::openat(directory, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file.valid() || ::write(file.get(), value.data(), value.size()) != static_cast<ssize_t>(value.size())) {
    return Error::from_errno(errno, std::string("write \"").append(value).append("\" to the cgroups' ").append(name));
  }
  return {};
}

Result<kernel::Fd> make_directory(int parent, const char* name) {
  if (::mkdirat(parent, name, 0755) != 0 && errno != EEXIST) return Error::from_errno(errno, std::string("make cgroup ") + name);
  kernel::Fd made(::openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (!made.valid()) return Error::from_errno(errno, std::string("open cgroup ") + name);
  return made;
}

// Hands every controller of the directory down, one write each: one that the kernel refuses does not cost the others.
void enable_controllers(int directory, char* missing, size_t room) {
  kernel::Fd file(::openat(directory, "cgroup.controllers", O_RDONLY | O_CLOEXEC));
  char text[256];
  ssize_t size = file.valid() ? ::read(file.get(), text, sizeof text) : 0;
  std::string_view rest(text, size > 0 ? static_cast<size_t>(size) : 0);
  while (!rest.empty()) {
    std::string_view name = rest.substr(0, rest.find_first_of(" \n"));
    rest.remove_prefix(name.size() + (name.size() < rest.size() ? 1 : 0));
    if (name.empty()) continue;
    if (write_file(directory, "cgroup.subtree_control", std::string("+").append(name)).ok() || missing == nullptr) continue;
    size_t used = std::strlen(missing);
    std::snprintf(missing + used, room - used, "%s%.*s", used > 0 ? " " : "", static_cast<int>(name.size()), name.data());
  }
}

}  // namespace

Result<CgroupTree> CgroupTree::make(MemoryFloors floors) {
  CgroupTree tree;
  tree.root_ = kernel::Fd(::open(kMount, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!tree.root_.valid()) return Error::from_errno(errno, "open /sys/fs/cgroup");
  STEPPE_TRY(kernel::Fd init, make_directory(tree.root_.get(), "init"));
  // "0" is whoever writes. The root must be empty of processes before it may hand out controllers; kernel threads do not
  // count.
  STEPPE_TRY_VOID(write_file(init.get(), "cgroup.procs", "0"));
  enable_controllers(tree.root_.get(), tree.missing_, sizeof tree.missing_);
  STEPPE_TRY(tree.services_, make_directory(tree.root_.get(), "services"));
  enable_controllers(tree.services_.get(), nullptr, 0);
  STEPPE_TRY(kernel::Fd tasks, make_directory(tree.root_.get(), "nomad.slice"));
  enable_controllers(tasks.get(), nullptr, 0);
  // Without the memory controller there is nothing to protect with; the machine runs all the same.
  (void)write_file(init.get(), "memory.min", std::to_string(floors.init_bytes));
  (void)write_file(tree.services_.get(), "memory.min", std::to_string(floors.services_bytes));
  return tree;
}

Result<kernel::Fd> CgroupTree::service(std::string_view name) const {
  return make_directory(services_.get(), std::string(name).c_str());
}

void CgroupTree::kill_all() const {
  for (const char* file : {"nomad.slice/cgroup.kill", "services/cgroup.kill"}) (void)write_file(root_.get(), file, "1");
}

void CgroupTree::kill_service(std::string_view name) const {
  (void)write_file(services_.get(), std::string(name).append("/cgroup.kill").c_str(), "1");
}

}  // namespace steppe::boot
