#include "init/boot/kernel_settings.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "init/sys/kernel/fd.h"

namespace steppe::boot {
namespace {

constexpr size_t kMaxLine = 256;

bool is_path(std::string_view path) {
  bool begin = true;  // of a part
  for (size_t i = 0; i < path.size(); ++i) {
    char c = path[i];
    if (c == '/') {
      if (begin) return false;
      begin = true;
      continue;
    }
    // No part begins with a dot, so none is "." or "..".
    if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || (c == '.' && !begin))) return false;
    begin = false;
  }
  return !path.empty() && !begin;
}

}  // namespace

Result<KernelSetting> parse_setting(std::string_view line) {
  size_t space = line.find(' ');
  KernelSetting out{line.substr(0, space), space == line.npos ? std::string_view() : line.substr(space + 1)};
  bool good = line.size() <= kMaxLine && is_path(out.path) && !out.value.empty();
  for (char c : out.value) good = good && c >= ' ' && c <= '~';
  if (!good) return {Code::kCorrupt, "a line of the kernel's settings is not \"path value\": " + std::string(line.substr(0, 80))};
  return out;
}

Result<size_t> apply_settings(const char* file, int proc_sys, SettingProblem problem, void* context) {
  kernel::Fd from(::open(file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!from.valid()) return Error::from_errno(errno, std::string("open the kernel's settings ") + file);
  std::string text(kMaxSettingsFile + 1, '\0');
  ssize_t size = ::read(from.get(), text.data(), text.size());
  if (size < 0) return Error::from_errno(errno, std::string("read the kernel's settings ") + file);
  if (static_cast<size_t>(size) > kMaxSettingsFile) return {Code::kExhausted, "the kernel's settings take more than 16 KiB"};
  std::string_view rest(text.data(), static_cast<size_t>(size));
  size_t applied = 0;
  for (size_t count = 0; !rest.empty();) {
    std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(line.size() + (line.size() < rest.size() ? 1 : 0));
    if (++count > kMaxSettings) return {Code::kExhausted, "there are more than 256 settings of the kernel"};
    STEPPE_TRY(KernelSetting setting, parse_setting(line));
    std::string path(setting.path);
    kernel::Fd to(::openat(proc_sys, path.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW));
    // One write: the kernel takes the value whole or not at all.
    if (to.valid() && ::write(to.get(), setting.value.data(), setting.value.size()) == static_cast<ssize_t>(setting.value.size())) {
      ++applied;
      continue;
    }
    problem(context, "setting " + std::string(line) + ": " + std::strerror(errno));
  }
  return applied;
}

}  // namespace steppe::boot
