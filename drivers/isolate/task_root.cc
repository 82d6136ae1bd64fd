#include "drivers/isolate/task_root.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <format>
#include <thread>

#include "drivers/isolate/writable_view.h"
#include "init/base/text.h"
#include "init/sys/kernel/beneath.h"
#include "init/sys/kernel/host_file.h"
#include "init/sys/kernel/image_mount.h"

namespace steppe::isolate {
namespace {

using drivers::DeviceNode;
using drivers::TaskConfig;
using kernel::Beneath;
using kernel::DetachedMount;
using kernel::Fd;

constexpr uint64_t kHostView = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
constexpr uint64_t kData = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
constexpr size_t kMaxImageEntries = 256;
// What a task has of its own at the top of its root.
constexpr std::string_view kOwnNames[] = {"alloc", "dev", "local", "private", "proc", "secrets", "sys", "tmp"};
constexpr size_t kMaxBelow = 64;  // mounts below one entry that a writable root keeps; each is a step of the plan
constexpr uint64_t kApi = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;

Error failed(std::string_view call, std::string_view what) { return Error::from_errno(errno, std::format("{} {}", call, what)); }

std::string relative(std::string_view path) {
  while (path.starts_with('/')) path.remove_prefix(1);
  while (path.ends_with('/')) path.remove_suffix(1);
  return std::string(path);
}

Result<> make_node(const Fd& dev, const std::string& name, mode_t type, mode_t mode, dev_t number) {
  // mknod's mode passes through the umask, fchmodat's does not.
  if (::mknodat(dev.get(), name.c_str(), type | mode, number) != 0) return failed("make device", name);
  if (::fchmodat(dev.get(), name.c_str(), mode, 0) != 0) return failed("set the mode of device", name);
  return {};
}

Result<> add_device(const Fd& dev, const DeviceNode& device) {
  STEPPE_TRY(Fd host, kernel::open_host(device.host_path, O_PATH));
  struct stat st;
  if (::fstat(host.get(), &st) != 0) return failed("stat", device.host_path);
  if (!S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode)) return {Code::kInvalid, std::format("{} is not a device", device.host_path)};
  if (!device.task_path.starts_with("/dev/")) return {Code::kInvalid, std::format("device path \"{}\" is not under /dev", device.task_path)};
  std::string name = device.task_path.substr(5);
  STEPPE_TRY(Fd again, dev.duplicate());
  Beneath tree(std::move(again), "/dev");
  size_t slash = name.rfind('/');
  if (slash != std::string::npos) STEPPE_TRY_VOID(tree.make_directories(name.substr(0, slash), 0755));
  STEPPE_TRY(Fd parent, tree.open(slash == std::string::npos ? "" : name.substr(0, slash), O_RDONLY | O_DIRECTORY));
  mode_t mode = (device.read ? 0444 : 0) | (device.write ? 0222 : 0);
  return make_node(parent, slash == std::string::npos ? name : name.substr(slash + 1), st.st_mode & S_IFMT, mode, st.st_rdev);
}

// Runs `work` on a thread of its own: the namespaces it changes are that thread's alone and end with it.
template <class Work>
Result<> on_own_thread(Work work) {
  Result<> result;
  std::thread([&] { result = work(); }).join();
  return result;
}

// One chroot_env entry in the host's namespace: a detached read-only view, or a link to make.
struct Source {
  TemplateRoot::Entry entry;
  DetachedMount mount;
};

Result<std::string> real_path(const Fd& fd, const std::string& name) {
  char path[4096];
  ssize_t n = ::readlink(std::format("/proc/self/fd/{}", fd.get()).c_str(), path, sizeof path);
  if (n <= 0 || static_cast<size_t>(n) == sizeof path) return failed("find the place of", name);
  return std::string(path, static_cast<size_t>(n));
}

// The mounts below `path`, relative to it and in order, without those below another of them.
std::vector<std::string> mounts_below(const std::vector<kernel::MountEntry>& table, const std::string& path) {
  std::vector<std::string> targets, out;
  for (const kernel::MountEntry& mount : table) {
    if (mount.target.size() > path.size() + 1 && mount.target.starts_with(path) && mount.target[path.size()] == '/') {
      targets.push_back(mount.target.substr(path.size() + 1));
    }
  }
  std::ranges::sort(targets);
  for (std::string& target : targets) {
    bool inner = !out.empty() && (target == out.back() || target.starts_with(out.back() + "/"));
    if (!inner) out.push_back(std::move(target));
  }
  return out;
}

Result<std::vector<Source>> collect(const std::map<std::string, std::string>& chroot_env) {
  std::vector<Source> out;
  STEPPE_TRY(std::vector<kernel::MountEntry> table, kernel::read_mountinfo());
  for (const auto& [source, destination] : chroot_env) {
    struct stat st;
    if (::lstat(source.c_str(), &st) != 0) {
      if (errno == ENOENT || errno == ENOTDIR) continue;
      return failed("stat", source);
    }
    Source found;
    found.entry.destination = relative(destination);
    if (found.entry.destination.empty()) return {Code::kInvalid, std::format("chroot_env \"{}\": would be the task's /", source)};
    if (S_ISLNK(st.st_mode)) {
      char target[256];
      ssize_t n = ::readlink(source.c_str(), target, sizeof target);
      std::string_view text(target, n > 0 ? static_cast<size_t>(n) : 0);
      if (relative(source) == found.entry.destination && !text.empty() && !text.starts_with('/') && text.find("..") == text.npos) {
        found.entry.link = text;
        out.push_back(std::move(found));
        continue;
      }
    }
    STEPPE_TRY(Fd fd, kernel::open_host(source, O_PATH));
    if (::fstat(fd.get(), &st) != 0) return failed("stat", source);
    found.entry.is_file = !S_ISDIR(st.st_mode);
    found.entry.source = source;
    STEPPE_TRY(std::string place, real_path(fd, source));
    found.entry.below = mounts_below(table, place);
    STEPPE_TRY(found.mount, DetachedMount::clone(fd.get(), source, DetachedMount::Depth::kRecursive));
    STEPPE_TRY_VOID(found.mount.set_attributes(kHostView, 0, DetachedMount::Depth::kRecursive).wrap(source));
    out.push_back(std::move(found));
  }
  return out;
}

bool is_mount_root(const Fd& directory, const std::string& path) {
  struct statx st;
  return ::statx(directory.get(), path.c_str(), AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, 0, &st) == 0 &&
         (st.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

Result<> touch(const Beneath& tree, const std::string& path, bool is_file) {
  if (!is_file) return tree.make_directories(path, 0755);
  size_t slash = path.rfind('/');
  if (slash != std::string::npos) STEPPE_TRY_VOID(tree.make_directories(path.substr(0, slash), 0755));
  auto found = tree.stat(path);
  if (found.ok()) {
    if (found->type == kernel::FileType::kFile) return {};
    return {Code::kDenied, std::format("{} in the task directory is not a file, so nothing can be mounted there", path)};
  }
  return tree.write(path, {}, 0644);
}

Result<> ensure_link(const Beneath& tree, const TemplateRoot::Entry& entry) {
  size_t slash = entry.destination.rfind('/');
  auto there = [&] {
    char target[256];
    ssize_t n = ::readlinkat(tree.fd(), entry.destination.c_str(), target, sizeof target);
    return n > 0 && std::string_view(target, static_cast<size_t>(n)) == entry.link;
  };
  // One name: there is no way to it that a link could bend.
  if (slash == std::string::npos && there()) return {};
  if (auto found = tree.stat(entry.destination); found.ok()) {
    if (found->type == kernel::FileType::kSymlink && there()) return {};
    return {Code::kDenied, std::format("/{} is in the task directory but belongs to the task's root (it comes from an artifact?)",
                                       entry.destination)};
  }
  if (slash != std::string::npos) {
    STEPPE_TRY_VOID(tree.make_directories(entry.destination.substr(0, slash), 0755));
  }
  return tree.symlink(entry.link, entry.destination);
}

// Steps that mount beneath the descriptor `root`, or beneath the executor's own root.
class Mounting {
 public:
  Mounting(PlanBuilder& plan, StepList list, int root) : plan_(plan), list_(list), root_(root) {}

  void fresh(const char* type, const std::string& to, uint64_t attributes, const char* options) {
    uint32_t kind = plan_.text(type), target = plan_.text(to), text = plan_.text(options);
    Step& s = add(Op::kMountNew, std::format("mount {} at /{}", type, to));
    s.text = kind;
    s.text2 = target;
    s.text3 = text;
    s.a = attributes;
  }
  void dev() {
    fresh("devpts", "dev/pts", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5");
    fresh("tmpfs", "dev/shm", kApi, "mode=1777,size=65536k");
  }
  // Root in a task is root to the files of /proc: what sets the whole machine is read-only, what shows its memory or
  // keys is covered (Docker and libcontainer have the same list, less the files that current kernels no longer have).
  void proc() {
    fresh("proc", "proc", kApi, "");
    for (const char* path : {"proc/sys", "proc/bus", "proc/fs", "proc/irq", "proc/sysrq-trigger"}) {
      uint32_t text = plan_.text(path);
      add(Op::kReadOnly, std::format("make /{} read-only", path)).text2 = text;
    }
    for (const char* path : {"proc/kcore", "proc/keys", "proc/timer_list"}) {
      uint32_t source = plan_.text("dev/null"), text = plan_.text(path);
      Step& s = add(Op::kMask, std::format("cover /{}", path));
      s.text = source;
      s.text2 = text;
    }
  }

 private:
  Step& add(Op op, std::string what) {
    Step& s = list_ == StepList::kPrelude ? plan_.prelude(op, std::move(what)) : plan_.step(op, std::move(what));
    s.fd2 = root_;
    return s;
  }
  PlanBuilder& plan_;
  StepList list_;
  int root_;
};

// Puts one root together.
class Assembly {
 public:
  Assembly(PlanBuilder& plan, const RootRequest& request, std::vector<Fd>& keep, Beneath tree)
      : plan_(plan), request_(request), config_(*request.config), keep_(keep), tree_(std::move(tree)) {}

  Result<> run() {
    STEPPE_TRY_VOID(root());
    STEPPE_TRY_VOID(host_view());
    STEPPE_TRY_VOID(dev());
    STEPPE_TRY_VOID(proc());
    STEPPE_TRY_VOID(sys());
    STEPPE_TRY_VOID(data());
    if (!request_.mutations.no_pivot) plan_.step(Op::kPivot, "make it the root").fd = root_;
    return {};
  }

 private:
  int hold(Fd fd) {
    int number = fd.get();
    plan_.inherit(number);
    keep_.push_back(std::move(fd));
    return number;
  }

  Result<> root() {
    STEPPE_TRY(DetachedMount mount, DetachedMount::clone(config_.task_dir.get(), "the task directory", DetachedMount::Depth::kOne));
    STEPPE_TRY_VOID(mount.set_attributes(request_.writable ? kData : kHostView, 0, DetachedMount::Depth::kOne));
    root_ = hold(mount.release());
    Step& s = plan_.step(Op::kAttach, "mount the task directory");
    s.fd = root_;
    s.fd2 = AT_FDCWD;
    s.text = plan_.text("root");
    return {};
  }

  void move(const std::string& from, const std::string& to) {
    uint32_t source = plan_.text(from), target = plan_.text(to);
    Step& s = plan_.step(Op::kMoveTree, std::format("mount /{}", to));
    s.text = source;
    s.fd2 = root_;
    s.text2 = target;
  }

  Mounting here() { return Mounting(plan_, StepList::kChild, root_); }
  void mount_new(const char* type, const std::string& to, uint64_t attributes, const char* options) { here().fresh(type, to, attributes, options); }

  void attach(int mount, const std::string& to) {
    uint32_t target = plan_.text(to);
    Step& s = plan_.step(Op::kAttach, std::format("mount /{}", to));
    s.fd = mount;
    s.fd2 = root_;
    s.text = target;
  }

  Result<> host_view() {
    for (const TemplateRoot::Entry& entry : request_.base->entries()) {
      if (!entry.link.empty()) {
        STEPPE_TRY_VOID(ensure_link(tree_, entry));
        continue;
      }
      STEPPE_TRY_VOID(touch(tree_, entry.destination, entry.is_file));
      if (request_.writable && !entry.is_file) {
        STEPPE_TRY_VOID(writable_view(entry));
      } else {
        move(entry.slot, entry.destination);
      }
    }
    if (request_.writable) return cover_layers();
    return {};
  }

  // An overlay shows one mount of the host; what is mounted below it comes from the template, read-only.
  Result<> writable_view(const TemplateRoot::Entry& entry) {
    if (entry.source.empty()) return {Code::kUnsupported, "writable_root: the tasks' root comes from an image on this node, which cannot be written over yet"};
    if (entry.below.size() > kMaxBelow) {
      return {Code::kUnsupported, std::format("writable_root: {} file systems are mounted below {}, more than {}", entry.below.size(), entry.source, kMaxBelow)};
    }
    STEPPE_TRY(Fd lower, kernel::open_host(entry.source, O_PATH | O_DIRECTORY));
    STEPPE_TRY(DetachedMount mount, make_writable_view(tree_, lower, entry.source, entry.destination).wrap("writable_root"));
    attach(hold(mount.release()), entry.destination);
    for (const std::string& path : entry.below) move(std::format("{}/{}", entry.slot, path), std::format("{}/{}", entry.destination, path));
    return {};
  }

  // What lies under an overlay must not change but through it.
  Result<> cover_layers() {
    std::string place(kLayersParent);
    STEPPE_TRY_VOID(tree_.make_directories(place, 0700));
    mount_new("tmpfs", place, kApi | MOUNT_ATTR_RDONLY, "mode=700,size=4k");
    return {};
  }

  Result<> dev() {
    STEPPE_TRY_VOID(tree_.make_directories("dev", 0755));
    if (config_.devices.empty()) {
      move("dev", "dev");
      if (!request_.staged) here().dev();
    } else {
      STEPPE_TRY(DetachedMount own, make_dev(config_.devices));
      attach(hold(own.release()), "dev");
      here().dev();
    }
    return {};
  }

  Result<> proc() {
    STEPPE_TRY_VOID(tree_.make_directories("proc", 0555));
    here().proc();
    return {};
  }

  Result<> sys() {
    if (!request_.base->has_sys()) return {};
    STEPPE_TRY_VOID(tree_.make_directories("sys", 0555));
    if (config_.network_namespace) {
      // The template's /sys shows the host's network devices.
      mount_new("sysfs", "sys", kApi | MOUNT_ATTR_RDONLY, "");
    } else {
      move("sys", "sys");
    }
    if (request_.cgroup_mount) mount_new("cgroup2", "sys/fs/cgroup", kApi | MOUNT_ATTR_RDONLY, "");
    return {};
  }

  Result<> bind(int source, const std::string& name, const std::string& to, uint64_t attributes, bool is_file) {
    STEPPE_TRY_VOID(touch(tree_, to, is_file));
    STEPPE_TRY(DetachedMount mount, DetachedMount::clone(source, name, DetachedMount::Depth::kRecursive));
    STEPPE_TRY_VOID(mount.set_attributes(attributes, 0, DetachedMount::Depth::kRecursive).wrap(name));
    attach(hold(mount.release()), to);
    return {};
  }

  Result<> own_directory(const Fd& given, const std::string& name, mode_t mode) {
    if (given.valid()) return bind(given.get(), name, name, kData, false);
    STEPPE_TRY_VOID(tree_.make_directories(name, mode));
    STEPPE_TRY(Fd fd, tree_.open_directory(name));
    return bind(fd.get(), name, name, kData, false);
  }

  Result<> data() {
    STEPPE_TRY_VOID(own_directory(config_.local_dir, "local", 0777));
    STEPPE_TRY_VOID(own_directory(config_.secrets_dir, "secrets", 0777));
    STEPPE_TRY_VOID(own_directory(config_.tmp_dir, "tmp", 01777));
    if (config_.alloc_dir.valid()) STEPPE_TRY_VOID(bind(config_.alloc_dir.get(), "alloc", "alloc", kData, false));
    for (const drivers::Mount& mount : config_.mounts) {
      std::string to = relative(mount.destination);
      if (!mount.destination.starts_with('/') || to.empty()) {
        return {Code::kInvalid, std::format("volume destination \"{}\" is not an absolute path below /", mount.destination)};
      }
      STEPPE_TRY(kernel::FileInfo info, kernel::stat_fd(mount.source, mount.destination));
      uint64_t attributes = kData | (mount.read_only ? MOUNT_ATTR_RDONLY : 0);
      STEPPE_TRY_VOID(bind(mount.source.get(), mount.destination, to, attributes, info.type != kernel::FileType::kDirectory));
    }
    return {};
  }

  PlanBuilder& plan_;
  const RootRequest& request_;
  const TaskConfig& config_;
  std::vector<Fd>& keep_;
  Beneath tree_;
  int root_ = -1;
};

}  // namespace

const std::map<std::string, std::string>& default_chroot_env() {
  static const std::map<std::string, std::string> list = {
      {"/bin", "/bin"}, {"/etc", "/etc"}, {"/lib", "/lib"}, {"/lib32", "/lib32"}, {"/lib64", "/lib64"},
      {"/run/resolvconf", "/run/resolvconf"}, {"/sbin", "/sbin"}, {"/usr", "/usr"}};
  return list;
}

Result<DetachedMount> make_dev(const std::vector<DeviceNode>& devices) {
  STEPPE_TRY(DetachedMount mount, DetachedMount::make("tmpfs", {{"mode", "755"}, {"size", "64k"}}, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOATIME));
  Fd dev(::openat(mount.fd(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!dev) return failed("open", "/dev");
  struct Node {
    const char* name;
    unsigned major, minor;
  };
  for (Node node : {Node{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}}) {
    STEPPE_TRY_VOID(make_node(dev, node.name, S_IFCHR, 0666, makedev(node.major, node.minor)));
  }
  using Link = std::pair<const char*, const char*>;
  for (auto [name, target] : {Link{"fd", "/proc/self/fd"}, {"stdin", "/proc/self/fd/0"}, {"stdout", "/proc/self/fd/1"},
                              {"stderr", "/proc/self/fd/2"}, {"ptmx", "pts/ptmx"}}) {
    if (::symlinkat(target, dev.get(), name) != 0) return failed("make link", name);
  }
  for (const char* name : {"pts", "shm"}) {
    if (::mkdirat(dev.get(), name, 0755) != 0) return failed("make directory", name);
  }
  for (const DeviceNode& device : devices) STEPPE_TRY_VOID(add_device(dev, device).wrap(std::format("device {}", device.host_path)));
  dev.reset();
  STEPPE_TRY_VOID(mount.set_attributes(MOUNT_ATTR_RDONLY, 0, DetachedMount::Depth::kOne));
  return mount;
}

// In the template's namespace: a view of each thing at the image's top. The image as a whole goes again.
Result<> TemplateRoot::add_image(const Fd& root, const DetachedMount& image, const RootSources& sources) {
  STEPPE_TRY_VOID(image.attach(root.get(), "image"));
  Fd top(::openat(root.get(), "image", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!top) return failed("open", "the image");
  STEPPE_TRY(Fd again, top.duplicate());
  Beneath tree(std::move(again), "image");
  STEPPE_TRY(Fd here, root.duplicate());
  Beneath base(std::move(here), "template");
  STEPPE_TRY(std::vector<kernel::DirectoryEntry> names, tree.list("", kMaxImageEntries));
  for (const kernel::DirectoryEntry& found : names) {
    const bool own = std::ranges::contains(kOwnNames, std::string_view(found.name));
    const bool from_host = std::ranges::any_of(sources.chroot_env, [&](const auto& entry) { return relative(entry.second) == found.name; });
    if (own || from_host) continue;
    Entry entry;
    entry.destination = found.name;
    if (found.type == kernel::FileType::kSymlink) {
      char target[256];
      const ssize_t n = ::readlinkat(top.get(), found.name.c_str(), target, sizeof target);
      entry.link.assign(target, n > 0 ? static_cast<size_t>(n) : 0);
      if (entry.link.empty() || entry.link.starts_with('/') || entry.link.contains("..")) return {Code::kInvalid, std::format("/{} is a link out of its directory", found.name)};
    } else {
      entry.is_file = found.type != kernel::FileType::kDirectory;
      entry.slot = std::format("env/{}", entries_.size());
      Fd source(::openat(top.get(), found.name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
      if (!source) return failed("open", found.name);
      STEPPE_TRY(DetachedMount view, DetachedMount::clone(source.get(), found.name, DetachedMount::Depth::kOne));
      STEPPE_TRY_VOID(touch(base, entry.slot, entry.is_file));
      STEPPE_TRY_VOID(view.attach(root.get(), entry.slot).wrap(found.name));
      if (found.name == "etc") image_etc_ = std::move(source);
    }
    entries_.push_back(std::move(entry));
  }
  // Named from the working directory, which is the template's root.
  if (::umount2("image", MNT_DETACH | UMOUNT_NOFOLLOW) != 0) return failed("detach", "the image");
  return {};
}

Result<> TemplateRoot::assemble(const RootSources& wanted) {
  STEPPE_TRY(std::vector<Source> sources, collect(wanted.chroot_env));
  DetachedMount image;
  if (!wanted.image.empty()) {
    STEPPE_TRY(image, kernel::mount_image(wanted.image, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV));
  }
  STEPPE_TRY(DetachedMount dev, make_dev({}));
  auto sys = DetachedMount::make("sysfs", {}, kApi | MOUNT_ATTR_RDONLY);
  if (::unshare(CLONE_NEWNS) != 0) return failed("make", "a mount namespace");
  STEPPE_TRY_VOID(kernel::make_private());
  STEPPE_TRY(namespace_, kernel::open_host("/proc/thread-self/ns/mnt", O_RDONLY));
  STEPPE_TRY(DetachedMount base, DetachedMount::make("tmpfs", {{"mode", "755"}, {"size", "64k"}}, kApi));
  STEPPE_TRY(Fd host_root, kernel::open_host("/", O_PATH | O_DIRECTORY));
  STEPPE_TRY_VOID(base.attach(host_root.get(), "").wrap("template root"));
  Fd root(::openat(base.fd(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root) return failed("open", "the template root");
  STEPPE_TRY_VOID(kernel::pivot_into(root).wrap("template root"));
  STEPPE_TRY(Fd again, root.duplicate());
  Beneath tree(std::move(again), "template");
  for (const char* name : {"root", "dev", "sys", "env", "image"}) STEPPE_TRY_VOID(tree.make_directories(name, 0755));
  if (image.valid()) STEPPE_TRY_VOID(add_image(root, image, wanted).wrap(wanted.image));
  for (Source& source : sources) {
    if (source.entry.link.empty()) {
      source.entry.slot = std::format("env/{}", entries_.size());
      STEPPE_TRY_VOID(touch(tree, source.entry.slot, source.entry.is_file));
      STEPPE_TRY_VOID(source.mount.attach(root.get(), source.entry.slot).wrap(source.entry.destination));
      // One that another mount hides cannot be reached, and need not be.
      std::erase_if(source.entry.below, [&](const std::string& path) { return !is_mount_root(root, std::format("{}/{}", source.entry.slot, path)); });
    }
    entries_.push_back(std::move(source.entry));
  }
  STEPPE_TRY_VOID(dev.attach(root.get(), "dev").wrap("template root"));
  if (sys.ok()) {
    STEPPE_TRY_VOID(sys->attach(root.get(), "sys").wrap("template root"));
    has_sys_ = true;
    // Firmware tables: serial numbers and more; libcontainer covers them too.
    auto cover = DetachedMount::make("tmpfs", {{"mode", "555"}, {"size", "4k"}}, kApi | MOUNT_ATTR_RDONLY);
    if (cover.ok()) {
      auto covered = cover->attach(root.get(), "sys/firmware");
      if (!covered.ok() && covered.error().code() != Code::kNotFound) return covered;
    }
  }
  return base.set_attributes(MOUNT_ATTR_RDONLY, 0, DetachedMount::Depth::kOne);
}

Result<TemplateRoot> TemplateRoot::build(const RootSources& sources) {
  TemplateRoot out;
  STEPPE_TRY_VOID(on_own_thread([&] { return out.assemble(sources); }).wrap("prepare the tasks' root"));
  return out;
}

void stage_mounts(PlanBuilder& plan) { Mounting(plan, StepList::kPrelude, AT_FDCWD).dev(); }

Result<> add_root(PlanBuilder& plan, const RootRequest& request, std::vector<Fd>& keep) {
  STEPPE_TRY(Fd task, request.config->task_dir.duplicate());
  Assembly assembly(plan, request, keep, Beneath(std::move(task), "the task directory"));
  return assembly.run();
}

}  // namespace steppe::isolate
