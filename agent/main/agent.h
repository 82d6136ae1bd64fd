#pragma once

#include <map>
#include <string>

#include "agent/main/settings.h"
#include "init/base/result.h"

namespace steppe::agent {

// Runs an agent until SIGINT or SIGTERM; SIGHUP reads the configuration again. Call on the main thread before any other
// thread exists. Returns the exit code. Errors: it could not start; nothing of it runs on.
Result<int> run_agent(Settings settings, const std::map<std::string, std::string, std::less<>>& environment);

}  // namespace steppe::agent
