#include "init/boot/coldplug.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "init/boot/kernel_log.h"
#include "init/boot/module_file.h"
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

// The index and the directory that its paths are below.
struct Modules {
  kernel::Fd directory;
  ModuleIndex index;
};

Result<Modules> open_modules() {
  utsname kernel_name;
  ::uname(&kernel_name);
  std::string path = std::string("/usr/lib/modules/") + kernel_name.release;
  kernel::Fd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid()) return Error::from_errno(errno, "open " + path);
  kernel::Fd file(::openat(directory.get(), "modules.index", O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  struct stat st;
  if (!file.valid() || ::fstat(file.get(), &st) != 0) return Error::from_errno(errno, "open " + path + "/modules.index");
  if (st.st_size < 0 || static_cast<size_t>(st.st_size) > ModuleIndex::kMaxBytes) return {Code::kExhausted, path + "/modules.index is longer than 16 MiB"};
  std::string text(static_cast<size_t>(st.st_size), '\0');
  for (size_t at = 0; at < text.size();) {
    ssize_t got = ::read(file.get(), text.data() + at, text.size() - at);
    if (got <= 0) return Error::from_errno(got == 0 ? EIO : errno, "read " + path + "/modules.index");
    at += static_cast<size_t>(got);
  }
  STEPPE_TRY(ModuleIndex index, ModuleIndex::parse(std::move(text)));
  return Modules{std::move(directory), std::move(index)};
}

Coldplug::Load loader(const Modules& modules, KernelLog& log) {
  return [&modules, &log](std::string_view path) {
    Result<> loaded = load_module_file(modules.directory.get(), path);
    // A driver whose alias fits may still find that it is not for this machine.
    if (!loaded.ok() && loaded.error().sys_errno() != ENODEV) log.line(KernelLog::Level::kWarning, loaded.error().message());
  };
}

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
bool drain_uevents(const kernel::Fd& socket, Coldplug& coldplug) {
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
    coldplug.device(uevent_modalias(std::as_bytes(std::span(message, static_cast<size_t>(size)))));
  }
}

}  // namespace

int run_devices() {
  KernelLog log;
  log.open();
  Result<kernel::Fd> uevents = open_uevents();
  kernel::Fd devices(::open("/sys/devices", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  Result<Modules> modules = open_modules();
  if (!uevents.ok() || !modules.ok()) {
    log.line(KernelLog::Level::kError, (uevents.ok() ? modules.error() : uevents.error()).message());
    return 1;
  }
  keep_only_module_loading();
  Coldplug coldplug(modules->index, loader(*modules, log));
  // Listening began before the walk, so a device that comes meanwhile is met by one of the two.
  coldplug.walk(devices.get());
  if (!drain_uevents(*uevents, coldplug)) coldplug.walk(devices.get());
  tell_parent("READY=1\nSTATUS=" + std::to_string(coldplug.devices()) + " kinds of devices, " + std::to_string(coldplug.loaded()) + " modules");
  while (true) {
    pollfd one = {uevents->get(), POLLIN, 0};
    if (::poll(&one, 1, -1) < 0 && errno != EINTR) return 1;
    if (!drain_uevents(*uevents, coldplug)) coldplug.walk(devices.get());
  }
}

int run_module_request(std::string_view name) {
  KernelLog log;
  log.open();
  Result<Modules> modules = open_modules();
  if (!modules.ok()) return 1;
  keep_only_module_loading();
  Coldplug coldplug(modules->index, loader(*modules, log));
  return coldplug.request(name) ? 0 : 1;
}

}  // namespace steppe::boot
