#pragma once

#include <string>

#include "init/base/clock.h"
#include "init/base/result.h"
#include "init/control/message.h"

namespace steppe::control {

// Asks PID 1 by its socket at `path`. Blocks for at most twice `limit`. kNotFound: there is no such socket, so this is not a machine
// whose PID 1 is ours; kDenied: it does not listen to this process; kUnavailable: the machine goes down already, or PID 1
// went away; kUnsupported: an older PID 1 that does not know the request; kTimeout; kCorrupt.
Result<Reply> ask(const Request& request, Duration limit, const std::string& path = kSocket);

}  // namespace steppe::control
