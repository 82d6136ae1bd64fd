#pragma once

#include <memory>

#include "drivers/api/driver.h"

namespace steppe::mock {

// A driver without processes, for tests of everything above drivers. Its config keys are those of Nomad's mock_driver:
//   run_for ("0": ends at once, absent: runs until stopped), exit_code, exit_signal, exit_err_msg, kill_after, signal_error,
//   start_error, start_error_recoverable, start_block_for, stdout_string, stdout_repeat, stdout_repeat_duration,
//   driver_ip, driver_port_map, plugin_exit_after (the last three are accepted and not acted on), fs_isolation.
// Time comes from timerfds on CLOCK_BOOTTIME: wait_fd() becomes readable by itself. Tasks live as long as the process;
// recover() finds those that this driver object started.
std::unique_ptr<drivers::Driver> make_driver(const Clock& clock);

}  // namespace steppe::mock
