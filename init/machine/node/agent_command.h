#pragma once

#include <string>
#include <vector>

namespace steppe::node {

// steppe-node agent PROGRAM ARGUMENTS...: becomes the agent, with what /run/steppe/agent.env adds to the environment (configure.h,
// agent_environment()). PID 1 starts the agent by it, and reads no such file itself. The exit code 1: it cannot become it.
int agent_command(const std::vector<std::string>& words);

// Lines KEY=VALUE whose KEY is one of those that agent_environment() makes. Pure; at most 16.
std::vector<std::string> read_environment(const std::string& text);

}  // namespace steppe::node
