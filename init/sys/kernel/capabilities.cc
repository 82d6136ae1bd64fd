#include "init/sys/kernel/capabilities.h"

#include <linux/prctl.h>
#include <sys/prctl.h>

#include <array>
#include <format>

#include "init/base/text.h"

namespace steppe::kernel {
namespace {

// In the order of linux/capability.h.
constexpr std::array<std::string_view, 41> kNames = {
    "chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap", "linux_immutable",
    "net_bind_service", "net_broadcast", "net_admin", "net_raw", "ipc_lock", "ipc_owner", "sys_module", "sys_rawio", "sys_chroot",
    "sys_ptrace", "sys_pacct", "sys_admin", "sys_boot", "sys_nice", "sys_resource", "sys_time", "sys_tty_config", "mknod", "lease",
    "audit_write", "audit_control", "setfcap", "mac_override", "mac_admin", "syslog", "wake_alarm", "block_suspend", "audit_read",
    "perfmon", "bpf", "checkpoint_restore"};

}  // namespace

int last_capability() {
  static const int last = [] {
    int number = 0;
    while (number < 63 && ::prctl(PR_CAPBSET_READ, number + 1, 0, 0, 0) >= 0) ++number;
    return number;
  }();
  return last;
}

Result<CapabilitySet> capability_from_name(std::string_view name) {
  std::string plain = lower(name);
  if (plain.starts_with("cap_")) plain.erase(0, 4);
  if (plain == "all") return (capability_bit(last_capability()) << 1) - 1;
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == plain) return capability_bit(static_cast<int>(i));
  }
  return {Code::kInvalid, std::format("\"{}\" is not a capability", name)};
}

std::string capability_name(int number) {
  if (number < 0 || static_cast<size_t>(number) >= kNames.size()) return std::format("CAP_{}", number);
  std::string name = "CAP_";
  for (char c : kNames[static_cast<size_t>(number)]) name.push_back(c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c);
  return name;
}

std::vector<std::string> capability_names(CapabilitySet set) {
  std::vector<std::string> out;
  for (int number = 0; number < 64; ++number) {
    if ((set >> number & 1) != 0) out.push_back(capability_name(number));
  }
  return out;
}

}  // namespace steppe::kernel
