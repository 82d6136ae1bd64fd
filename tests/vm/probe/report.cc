#include "tests/vm/probe/report.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace steppe::vm {
namespace {

void say(const std::string& line) {
  static int console = ::open("/dev/console", O_WRONLY | O_CLOEXEC | O_NOCTTY);
  std::string text = line + "\r\n";
  (void)!::write(console, text.data(), text.size());
}

}  // namespace

void ok(std::string_view name) { say("VM ok " + std::string(name)); }
void bad(std::string_view name, std::string_view why) { say("VM bad " + std::string(name) + ": " + std::string(why)); }
void expect(bool holds, std::string_view name, std::string_view why) { holds ? ok(name) : bad(name, why); }
void info(std::string_view what) { say("VM info " + std::string(what)); }
void done() { say("VM done"); }

std::string read_file(const std::string& path) {
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  std::string out;
  char bytes[4096];
  for (ssize_t n; fd >= 0 && (n = ::read(fd, bytes, sizeof bytes)) > 0;) out.append(bytes, static_cast<size_t>(n));
  if (fd >= 0) ::close(fd);
  return out;
}

bool write_file(const std::string& path, std::string_view text) {
  int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  bool written = fd >= 0 && ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  if (fd >= 0) ::close(fd);
  return written;
}

void await_log(std::string_view text) {
  int fd = ::open("/dev/kmsg", O_RDONLY | O_CLOEXEC);
  char line[8192];
  while (true) {
    ssize_t n = ::read(fd, line, sizeof line);
    if (n > 0 && std::string_view(line, static_cast<size_t>(n)).find(text) != std::string_view::npos) break;
  }
  ::close(fd);
}

int count_in_log(std::string_view text) {
  int fd = ::open("/dev/kmsg", O_RDONLY | O_CLOEXEC | O_NONBLOCK), count = 0;
  char line[8192];
  while (true) {
    ssize_t n = ::read(fd, line, sizeof line);
    if (n < 0 && errno == EAGAIN) break;
    if (n > 0) count += std::string_view(line, static_cast<size_t>(n)).find(text) != std::string_view::npos;
  }
  ::close(fd);
  return count;
}

void notify(std::string_view text) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, std::getenv("NOTIFY_SOCKET"));
  int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  (void)::sendto(fd, text.data(), text.size(), 0, reinterpret_cast<sockaddr*>(&address), sizeof address);
  ::close(fd);
}

void pause_ms(long ms) {
  timespec rest = {ms / 1000, ms % 1000 * 1'000'000};
  ::nanosleep(&rest, nullptr);
}

}  // namespace steppe::vm
