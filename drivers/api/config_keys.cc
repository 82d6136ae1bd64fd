#include "drivers/api/config_keys.h"

namespace steppe::drivers {
namespace {

constexpr std::string_view kExec[] = {"args", "cap_add", "cap_drop", "command", "ipc_mode", "pid_mode", "work_dir", "writable_root"};
constexpr std::string_view kRawExec[] = {"args", "cgroup_v1_override", "cgroup_v2_override", "command", "denied_envvars", "oom_score_adj", "work_dir"};
constexpr std::string_view kMock[] = {"args", "command", "driver_advertise", "driver_ip", "driver_port_map", "exec_command", "exit_code",
                                      "exit_err_msg", "exit_signal", "fs_isolation", "kill_after", "plugin_exit_after", "run_for",
                                      "signal_error", "start_block_for", "start_error", "start_error_recoverable", "stdout_repeat",
                                      "stdout_repeat_duration", "stdout_string"};

}  // namespace

std::span<const std::string_view> config_keys(std::string_view driver) {
  if (driver == "exec") return kExec;
  if (driver == "raw_exec") return kRawExec;
  if (driver == "mock_driver") return kMock;
  return {};
}

}  // namespace steppe::drivers
