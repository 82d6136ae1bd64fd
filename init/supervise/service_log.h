#pragma once

#include <cstddef>

namespace steppe::supervise {

// The program of the child that keeps what services write: from descriptor 3 (a pipe of which PID 1 holds both ends, so that
// neither a service nor this child loses the other's) into /var/log/steppe/services.log. At kMaxFile bytes the file becomes
// services.log.1, in place of an older one. SIGTERM: what is in the pipe is written, then the end. A disk that is full or slow
// stops this child and, once the pipe is full, the services' own writes: never PID 1.
inline constexpr size_t kMaxServiceLog = 1 << 20;
int run_service_log();

}  // namespace steppe::supervise
