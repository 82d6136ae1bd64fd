#include "init/boot/coldplug.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>

#include "init/boot/kernel_log.h"
#include "init/boot/module_file.h"
#include "init/boot/module_roots.h"
#include "init/boot/parent_notice.h"
#include "init/sys/kernel/fd.h"

namespace steppe::boot {
namespace {

constexpr size_t kMaxRemembered = 20'000;
constexpr size_t kMaxEntries = 200'000;
constexpr int kMaxDepth = 32;
constexpr size_t kMaxModalias = 1'024;
// The kernel's own limit is 2 KiB of variables (UEVENT_BUFFER_SIZE) and a header.
constexpr size_t kMaxMessage = 8'192;
// A bus with thousands of devices comes up faster than modules load.
constexpr int kSocketBuffer = 16 << 20;

}  // namespace

std::string_view uevent_modalias(ByteView message) {
  std::string_view text = as_text(message);
  bool added = false;
  std::string_view modalias;
  while (!text.empty()) {
    std::string_view field = text.substr(0, text.find('\0'));
    text.remove_prefix(field.size() + (field.size() < text.size() ? 1 : 0));
    if (field == "ACTION=add" || field == "ACTION=bind") added = true;
    if (field.starts_with("MODALIAS=")) modalias = field.substr(9);
  }
  return added && modalias.size() <= kMaxModalias ? modalias : std::string_view();
}

void Coldplug::load(std::string_view name) {
  for (std::string_view file : index_->files(name)) {
    if (files_.size() < kMaxRemembered && files_.emplace(file).second) load_(file);
  }
}

void Coldplug::device(std::string_view modalias) {
  if (modalias.empty() || seen_.size() >= kMaxRemembered || !seen_.emplace(modalias).second) return;
  for (std::string_view name : index_->find(modalias)) load(name);
}

bool Coldplug::request(std::string_view name) {
  std::vector<std::string_view> found = index_->find(name);
  if (found.empty() && !index_->files(name).empty()) found.push_back(name);
  for (std::string_view module : found) load(module);
  return !found.empty();
}

void Coldplug::walk(int directory) {
  size_t budget = kMaxEntries;
  walk_below(directory, 0, budget);
}

void Coldplug::walk_below(int directory, int depth, size_t& budget) {
  kernel::Fd opened(::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  DIR* listing = opened.valid() ? ::fdopendir(opened.get()) : nullptr;
  if (listing == nullptr) return;
  int fd = opened.release();
  while (budget > 0) {
    dirent* entry = ::readdir(listing);
    if (entry == nullptr) break;
    --budget;
    if (std::strcmp(entry->d_name, "modalias") == 0 && entry->d_type == DT_REG) {
      kernel::Fd file(::openat(fd, "modalias", O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
      char text[kMaxModalias + 1];
      ssize_t size = file.valid() ? ::read(file.get(), text, sizeof text) : 0;
      if (size > 0 && text[size - 1] == '\n') --size;
      if (size > 0 && static_cast<size_t>(size) <= kMaxModalias) device(std::string_view(text, static_cast<size_t>(size)));
    }
    if (entry->d_type != DT_DIR || depth >= kMaxDepth || entry->d_name[0] == '.') continue;
    kernel::Fd below(::openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (below.valid()) walk_below(below.get(), depth + 1, budget);
  }
  ::closedir(listing);
}

namespace {

Coldplug::Load loader(const ModuleRoot& root, KernelLog& log) {
  return [&root, &log](std::string_view path) {
    Result<> loaded = load_module_file(root.directory.get(), path);
    // A driver whose alias fits may still find that it is not for this machine.
    if (!loaded.ok() && loaded.error().sys_errno() != ENODEV) log.line(KernelLog::Level::kWarning, loaded.error().message());
  };
}

// The image's modules, and those of extensions, in the order in which they came. A module that several have is loaded once: the
// kernel knows it by its name.
class Drivers {
 public:
  explicit Drivers(KernelLog& log) : log_(log) {}

  Result<> add(const std::string& path) {
    STEPPE_TRY(ModuleRoot root, open_module_root(path));
    auto one = std::make_unique<One>(std::move(root));
    one->coldplug.emplace(one->root.index, loader(one->root, log_));
    all_.push_back(std::move(one));
    return {};
  }
  // Those of extensions that came since; how many.
  size_t add_extensions() {
    size_t added = 0;
    for (const std::string& name : new_module_roots(kExtensionModules, known_)) {
      Result<> taken = add(std::string(kExtensionModules) + "/" + name);
      if (taken.ok()) ++added;
      else log_.line(KernelLog::Level::kWarning, "extension " + name + ": " + taken.error().message());
    }
    return added;
  }
  void device(std::string_view modalias) {
    for (auto& one : all_) one->coldplug->device(modalias);
  }
  bool request(std::string_view name) {
    bool found = false;
    for (auto& one : all_) found = one->coldplug->request(name) || found;
    return found;
  }
  // The last `count` of them look at every device.
  void walk(int devices, size_t count) {
    for (size_t i = all_.size() - std::min(count, all_.size()); i < all_.size(); ++i) all_[i]->coldplug->walk(devices);
  }
  void walk(int devices) { walk(devices, all_.size()); }
  std::string summary() const {
    size_t loaded = 0;
    for (const auto& one : all_) loaded += one->coldplug->loaded();
    return std::to_string(all_.front()->coldplug->devices()) + " kinds of devices, " + std::to_string(loaded) + " modules";
  }

 private:
  struct One {
    explicit One(ModuleRoot opened) : root(std::move(opened)) {}
    ModuleRoot root;
    std::optional<Coldplug> coldplug;
  };
  KernelLog& log_;
  std::vector<std::unique_ptr<One>> all_;
  std::set<std::string, std::less<>> known_;
};

// Loading modules is all that this process may do beyond what any process may.
void keep_only_module_loading() {
  (void)::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  data[0].effective = data[0].permitted = 1u << CAP_SYS_MODULE;
  (void)::syscall(SYS_capset, &head, data);
}

Result<kernel::Fd> open_uevents() {
  kernel::Fd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT));
  if (!socket.valid()) return Error::from_errno(errno, "open the kernel's uevents");
  (void)::setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUFFORCE, &kSocketBuffer, sizeof kSocketBuffer);
  sockaddr_nl address = {};
  address.nl_family = AF_NETLINK;
  address.nl_groups = 1;  // the kernel's own; udev repeats them on group 2
  if (::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return Error::from_errno(errno, "listen to the kernel's uevents");
  return socket;
}

// Reads what is there. False when messages were lost and everything must be looked at again.
bool drain_uevents(const kernel::Fd& socket, Drivers& drivers) {
  char message[kMaxMessage];
  while (true) {
    sockaddr_nl from = {};
    iovec part = {message, sizeof message};
    msghdr header = {};
    header.msg_name = &from;
    header.msg_namelen = sizeof from;
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    ssize_t size = ::recvmsg(socket.get(), &header, 0);
    if (size < 0) return errno != ENOBUFS;
    if (from.nl_pid != 0 || (header.msg_flags & MSG_TRUNC) != 0) continue;  // only the kernel has port 0
    drivers.device(uevent_modalias(std::as_bytes(std::span(message, static_cast<size_t>(size)))));
  }
}

// Says when a link comes to the directory of extensions' modules, which is made here.
kernel::Fd watch_extensions() {
  (void)::mkdir("/run/steppe", 0711);
  (void)::mkdir(kExtensionModules, 0755);
  kernel::Fd watch(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (watch.valid()) (void)::inotify_add_watch(watch.get(), kExtensionModules, IN_CREATE | IN_MOVED_TO | IN_ONLYDIR);
  return watch;
}

}  // namespace

int run_devices() {
  KernelLog log;
  log.open();
  Result<kernel::Fd> uevents = open_uevents();
  kernel::Fd devices(::open("/sys/devices", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  Drivers drivers(log);
  Result<> image = drivers.add(image_modules());
  if (!uevents.ok() || !image.ok()) {
    log.line(KernelLog::Level::kError, (uevents.ok() ? image.error() : uevents.error()).message());
    return 1;
  }
  kernel::Fd extensions = watch_extensions();
  keep_only_module_loading();
  drivers.add_extensions();
  // Listening began before the walk, so a device that comes meanwhile is met by one of the two; the same for an extension.
  drivers.walk(devices.get());
  if (!drain_uevents(*uevents, drivers)) drivers.walk(devices.get());
  tell_parent("READY=1\nSTATUS=" + drivers.summary());
  while (true) {
    pollfd both[2] = {{uevents->get(), POLLIN, 0}, {extensions.get(), POLLIN, 0}};
    if (::poll(both, 2, -1) < 0 && errno != EINTR) return 1;
    char names[4096];
    while (extensions.valid() && ::read(extensions.get(), names, sizeof names) > 0) {
    }
    if (size_t added = drivers.add_extensions(); added > 0) {
      drivers.walk(devices.get(), added);
      tell_parent("STATUS=" + drivers.summary());
    }
    if (!drain_uevents(*uevents, drivers)) drivers.walk(devices.get());
  }
}

int run_module_request(std::string_view name) {
  KernelLog log;
  log.open();
  Drivers drivers(log);
  if (!drivers.add(image_modules()).ok()) return 1;
  drivers.add_extensions();
  keep_only_module_loading();
  return drivers.request(name) ? 0 : 1;
}

}  // namespace steppe::boot
