#include "init/supervise/notice.h"

#include <algorithm>
#include <cstring>

#include "init/boot/kernel_log.h"

namespace steppe::supervise {
namespace {

bool plain_name(std::string_view name) {
  return !name.empty() && name.size() <= Notice::kMaxName && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
  });
}

void set_name(Notice& notice, std::string_view name) {
  std::memcpy(notice.name_text, name.data(), name.size());
  notice.name_size = static_cast<uint8_t>(name.size());
}

void read_line(std::string_view line, Notice& out) {
  if (line == "READY=1") out.ready = true;
  else if (line == "STOPPING=1") out.stopping = true;
  else if (line == "WATCHDOG=1") out.watchdog = true;
  else if (line == "FDSTORE=1") out.store = true;
  else if (line == "FDSTOREREMOVE=1") out.drop = true;
  else if (line == "X_STEPPE_HOLD=1") out.hold = true, out.go_on = false;
  else if (line == "X_STEPPE_HOLD=0") out.go_on = true, out.hold = false;
  else if (line.starts_with("MAINPID=")) out.refused_main_pid = true;
  else if (line.starts_with("STATUS=")) {
    out.status_size = static_cast<uint8_t>(boot::printable(line.substr(7), out.status_text, Notice::kMaxStatus));
    out.has_status = true;
  } else if (line.starts_with("FDNAME=") && plain_name(line.substr(7))) {
    set_name(out, line.substr(7));
  }
}

}  // namespace

Notice read_notice(std::string_view datagram) {
  Notice out;
  set_name(out, "stored");
  if (datagram.size() > Notice::kMaxBytes) return out;
  while (!datagram.empty()) {
    std::string_view line = datagram.substr(0, datagram.find('\n'));
    datagram.remove_prefix(line.size() + (line.size() < datagram.size() ? 1 : 0));
    read_line(line, out);
  }
  return out;
}

}  // namespace steppe::supervise
