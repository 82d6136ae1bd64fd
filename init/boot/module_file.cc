#include "init/boot/module_file.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "init/sys/kernel/fd.h"

namespace steppe::boot {
namespace {

constexpr size_t kOrderLimit = 4096;
constexpr int kMaxModules = 64;

}  // namespace

bool plain_file_name(std::string_view name) {
  if (name.empty() || name.size() > 255 || name == "." || name == "..") return false;
  for (char c : name) {
    if (c <= ' ' || c > '~' || c == '/') return false;
  }
  return true;
}

Result<> load_module_file(int directory, std::string_view path) {
  std::string name(path);
  open_how how = {};
  how.flags = O_RDONLY | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  kernel::Fd file(static_cast<int>(::syscall(SYS_openat2, directory, name.c_str(), &how, sizeof how)));
  if (!file.valid()) return Error::from_errno(errno, "open module " + name);
  if (::syscall(SYS_finit_module, file.get(), "", 0) == 0 || errno == EEXIST) return {};
  if (errno == EKEYREJECTED || errno == ENOKEY || errno == EBADMSG) {
    return {Code::kDenied, "load module " + name + ": the kernel does not accept its signature; modules come from the kernel's own package"};
  }
  return Error::from_errno(errno, "load module " + name);
}

Result<> load_modules_in_order(int directory) {
  kernel::Fd file(::openat(directory, "order", O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file.valid()) return Error::from_errno(errno, "open the modules' order");
  char text[kOrderLimit + 1];
  ssize_t size = ::read(file.get(), text, sizeof text);
  if (size < 0) return Error::from_errno(errno, "read the modules' order");
  if (static_cast<size_t>(size) > kOrderLimit) return {Code::kExhausted, "the modules' order is longer than 4 KiB"};
  Result<> first;
  std::string_view rest(text, static_cast<size_t>(size));
  for (int count = 0; !rest.empty();) {
    std::string_view name = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(name.size() + (name.size() < rest.size() ? 1 : 0));
    if (name.empty()) continue;
    if (!plain_file_name(name)) return {Code::kCorrupt, "the modules' order has a line that is no file name"};
    if (++count > kMaxModules) return {Code::kExhausted, "the modules' order names more than 64 modules"};
    Result<> loaded = load_module_file(directory, name);
    if (!loaded.ok() && first.ok()) first = std::move(loaded);
  }
  return first;
}

}  // namespace steppe::boot
