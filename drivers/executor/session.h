#pragma once

#include <memory>

#include "drivers/api/driver.h"
#include "drivers/executor/host.h"

namespace steppe::executor {

// Starts `request` inside the running task `target` as the stored profile says: an executor of its own whose plan enters
// the task's namespaces. The session ends with the returned object, or with the agent.
Result<std::unique_ptr<drivers::ExecSession>> open_session(std::shared_ptr<const Host> host, const Profile& profile,
                                                           const kernel::Process& target, const kernel::Cgroup* cgroup,
                                                           drivers::ExecRequest request);

// The exit record at the start of `record`. kUnavailable: none was written.
Result<drivers::ExitResult> read_exit_record(const kernel::Fd& record);
Result<drivers::ExitResult> decode_exit_record(ByteView bytes);

}  // namespace steppe::executor
