#include "init/boot/kernel_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstring>

namespace steppe::boot {

size_t printable(std::string_view text, char* into, size_t room) {
  size_t used = 0;
  for (char c : text) {
    if (used == room) break;
    into[used++] = c >= ' ' && c <= '~' ? c : '?';
  }
  return used;
}

namespace {

// A line with its level for /dev/kmsg ("<6>steppe: ..."), or without for a console.
size_t compose(std::string_view head, std::string_view text, std::string_view tail, char* into) {
  static constexpr std::string_view kName = "steppe: ";
  size_t used = 0;
  std::memcpy(into, head.data(), head.size());
  used += head.size();
  std::memcpy(into + used, kName.data(), kName.size());
  used += kName.size();
  used += printable(text, into + used, KernelLog::kMaxLine - used - tail.size());
  std::memcpy(into + used, tail.data(), tail.size());
  return used + tail.size();
}

// A partial or failed write loses the line: PID 1 does not wait for a terminal.
void put(const kernel::Fd& to, const char* bytes, size_t size) {
  if (to.valid()) (void)!::write(to.get(), bytes, size);
}

}  // namespace

void KernelLog::open() {
  // The terminal of the serial line and the screen's first one beside /dev/console, which is only the last `console=` of
  // the command line. Opened without O_NOCTTY they would become our controlling terminal and send us signals.
  kmsg_ = kernel::Fd(::open("/dev/kmsg", O_WRONLY | O_CLOEXEC | O_NOCTTY));
  consoles_[0] = kernel::Fd(::open("/dev/console", O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
  for (int i = 1; i < kMaxConsoles; ++i) consoles_[i].reset();
  // The kernel's own list of its consoles: names of ttys parted by spaces, /dev/console last.
  kernel::Fd list(::open("/sys/class/tty/console/active", O_RDONLY | O_CLOEXEC));
  char names[128];
  ssize_t size = list.valid() ? ::read(list.get(), names, sizeof names) : 0;
  std::string_view rest(names, size > 0 ? static_cast<size_t>(size) : 0);
  while (!rest.empty() && (rest.back() == '\n' || rest.back() == ' ')) rest.remove_suffix(1);
  size_t last = rest.rfind(' ');
  rest = last == std::string_view::npos ? std::string_view() : rest.substr(0, last);
  for (int i = 1; i < kMaxConsoles && !rest.empty(); ++i) {
    std::string_view name = rest.substr(0, rest.find(' '));
    rest.remove_prefix(name.size() + (name.size() < rest.size() ? 1 : 0));
    char path[64] = "/dev/";
    if (name.empty() || name.size() > 32 || name.find('/') != std::string_view::npos) continue;
    std::memcpy(path + 5, name.data(), name.size());
    consoles_[i] = kernel::Fd(::open(name == "tty0" ? "/dev/tty1" : path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
  }
}

void KernelLog::line(Level level, std::string_view text) {
  char head[4] = {'<', static_cast<char>('0' + static_cast<int>(level)), '>', 0};
  char bytes[kMaxLine];
  put(kmsg_, bytes, compose(std::string_view(head, 3), text, "\n", bytes));
}

void KernelLog::status(std::string_view text) {
  char bytes[kMaxLine];
  put(kmsg_, bytes, compose("<7>", text, "\n", bytes));
  to_consoles(text);
}

void KernelLog::to_consoles(std::string_view text) {
  char bytes[kMaxLine];
  size_t size = compose("", text, "\r\n", bytes);
  for (const kernel::Fd& console : consoles_) put(console, bytes, size);
}

}  // namespace steppe::boot
