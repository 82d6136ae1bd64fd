#include "init/machine/node/console.h"

#include <fcntl.h>

#include "init/base/text.h"
#include "init/sys/kernel/descriptor_io.h"
#include "init/sys/kernel/host_file.h"

namespace steppe::node {
namespace {

constexpr size_t kMaxConsoles = 4;

void reply(int fd, std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '\n') out += '\r';
    out += c;
  }
  (void)kernel::write_now(fd, as_bytes(out));  // nobody waits for a terminal that does not take it
}

}  // namespace

std::vector<std::string> console_devices(const std::string& root) {
  std::vector<std::string> out;
  Result<std::string> active = kernel::read_host_file(root + "sys/class/tty/console/active", Bytes(4096));
  if (!active.ok()) return out;
  for (std::string_view name : split(trim(*active), ' ')) {
    const bool fit = name.starts_with("tty") && name.size() < 16 && name.find_first_of("/.") == name.npos;
    if (fit && out.size() < kMaxConsoles) out.push_back(root + "dev/" + std::string(name));
  }
  return out;
}

io::Task<void> serve_console(io::Loop& loop, std::string path, std::function<std::string(Result<ConsoleLine>)> answer, std::stop_token stop) {
  Result<kernel::Fd> terminal = kernel::open_host(path, O_RDWR | O_NONBLOCK);
  if (!terminal.ok()) co_return;
  std::string line;
  bool too_long = false;
  std::byte buffer[512];
  while (true) {
    Result<> ready = co_await io::wait_ready(loop, terminal->get(), io::Readiness::kReadable, io::Deadline{.stop = stop});
    if (!ready.ok()) co_return;
    Result<size_t> n = kernel::read_now(terminal->get(), buffer);
    if (!n.ok() && n.error().code() == Code::kUnavailable) continue;
    if (!n.ok() || *n == 0) co_return;
    for (char c : as_text({buffer, *n})) {
      if (c != '\n' && c != '\r') {
        too_long = too_long || line.size() == kMaxConsoleLine;
        if (!too_long) line.push_back(c);
        continue;
      }
      if (too_long) line.assign(kMaxConsoleLine + 1, '?');
      if (!line.empty()) reply(terminal->get(), answer(read_console_line(line)));
      line.clear();
      too_long = false;
    }
  }
}

}  // namespace steppe::node
