#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "drivers/api/driver.h"
#include "drivers/isolate/identity.h"
#include "drivers/isolate/plan_builder.h"
#include "init/sys/kernel/fd.h"
#include "init/sys/kernel/mounts.h"

namespace steppe::isolate {

// What of the host a task may see, "source" -> "destination": Nomad's default list. Entries that the host lacks are left out.
const std::map<std::string, std::string>& default_chroot_env();

// Where a task's root comes from.
struct RootSources {
  std::map<std::string, std::string> chroot_env;  // of the host, "source" -> "destination"
  // A squashfs or erofs image, trusted: what stands at its top is a task's read-only root, and chroot_env goes on top of
  // that; "": none. What a task has of its own (dev, proc, tmp, alloc, ...) is not taken from it. The host itself never sees
  // it mounted.
  std::string image;
};

// A mount namespace that no process lives in, made once per agent. Its root is a read-only tmpfs that holds, ready made,
// everything that all tasks have in common: the image's and the host's directories (read-only, nosuid, nodev), /dev and
// /sys. A task's executor enters it, so that clone3 copies these few mounts instead of the host's whole table, and the
// host's root is not even reachable from where the task's root is put together.
class TemplateRoot {
 public:
  struct Entry {
    std::string destination;  // relative, "usr"
    std::string link;         // not empty: recreated as a symlink ("bin" -> "usr/bin")
    std::string slot;         // where the template holds the mount: "env/0"
    std::string source;       // on the host: "/usr"; "" when it comes from the image
    std::vector<std::string> below;  // what is mounted below it, relative to it, the outermost only
    bool is_file = false;
  };

  static Result<TemplateRoot> build(const RootSources& sources);

  int namespace_fd() const { return namespace_.get(); }
  const std::vector<Entry>& entries() const { return entries_; }
  bool has_sys() const { return has_sys_; }
  // The image's /etc; not valid when it has none, or there is no image.
  const kernel::Fd& image_etc() const { return image_etc_; }

 private:
  Result<> assemble(const RootSources& sources);
  Result<> add_image(const kernel::Fd& root, const kernel::DetachedMount& image, const RootSources& sources);
  kernel::Fd namespace_;
  std::vector<Entry> entries_;
  kernel::Fd image_etc_;
  bool has_sys_ = false;
};

// /dev as tasks have it, on a tmpfs of its own: null zero full random urandom tty, the devices asked for, fd links,
// directories pts and shm.
Result<kernel::DetachedMount> make_dev(const std::vector<drivers::DeviceNode>& devices);

// The mounts of one task, prepared in the agent: detached mounts and the steps that put them in place.
struct RootRequest {
  const drivers::TaskConfig* config = nullptr;
  const TemplateRoot* base = nullptr;
  bool cgroup_mount = false;      // show the task its cgroup under /sys/fs/cgroup
  bool private_pid = true, private_ipc = true;
  bool staged = false;            // stage_mounts() has run in this mount namespace
  bool writable = false;          // the root and its host directories by overlays (writable_view.h), for this task alone
  Mutations mutations;
};

// Appends to the prelude what of a task's root is its own but known before the task is: /dev with pts and shm, ready to be
// moved. For an executor in a copy of the template's mount namespace. (/proc is not: it shows the process namespace that
// its mounter lives in, which is not yet the task's.)
void stage_mounts(PlanBuilder& plan);

// Makes the mount points in the task directory (refusing symlinks), prepares the mounts and appends the steps up to and
// including the change of root. The descriptors in `keep` must stay open until the task runs.
Result<> add_root(PlanBuilder& plan, const RootRequest& request, std::vector<kernel::Fd>& keep);

}  // namespace steppe::isolate
