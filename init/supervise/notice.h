#pragma once

#include <cstdint>
#include <string_view>

namespace steppe::supervise {

// One datagram of the sd_notify(3) protocol, read: lines KEY=VALUE. The only bytes from another program that PID 1 looks
// at itself, because a child that looked at them for it would need the same protocol to say what it saw. The format is
// made for that: fixed words compared for equality, no numbers, nothing nested, nothing kept but two short texts.
struct Notice {
  static constexpr size_t kMaxBytes = 4'096;  // a longer datagram was cut by the kernel and is not read at all
  static constexpr size_t kMaxStatus = 120, kMaxName = 63;

  bool ready = false;           // READY=1
  bool stopping = false;        // STOPPING=1
  bool watchdog = false;        // WATCHDOG=1
  bool store = false;           // FDSTORE=1: keep the descriptors that came along
  bool drop = false;            // FDSTOREREMOVE=1: forget those named `name`
  // X_STEPPE_HOLD=1 and =0: the machine waits for its configuration (Supervisor::hold), or has it.
  bool hold = false, go_on = false;
  bool refused_main_pid = false;  // MAINPID=: PID 1 knows its children by itself and takes nobody's word for it

  std::string_view status() const { return {status_text, status_size}; }
  std::string_view name() const { return {name_text, name_size}; }

  char status_text[kMaxStatus];  // STATUS=, printable ASCII only, cut
  char name_text[kMaxName];      // FDNAME=; "stored" when it is absent or has other bytes than letters, digits, '.', '_' and '-'
  uint8_t status_size = 0, name_size = 0;
  bool has_status = false;
};

// Words that are not known are skipped; of a word that comes twice the last counts. Never fails. Pure.
Notice read_notice(std::string_view datagram);

}  // namespace steppe::supervise
