#pragma once

#include <memory>
#include <string>
#include <vector>

#include "drivers/api/driver.h"
#include "drivers/executor/host.h"

namespace steppe::raw_exec {

struct Options {
  bool enabled = false;  // as Nomad's plugin "raw_exec": off unless the node's owner says so
  std::string denied_host_uids, denied_host_gids;  // "0,1000-2000"
  std::vector<std::string> denied_envvars;         // names, may end in '*'

  // From the agent's plugin block.
  static Result<Options> parse(const drivers::ConfigMap& config);
};

// Runs commands as they are: no isolation, the agent's user unless the task names one. Below the same executor as every
// task, so that output, exit codes and stopping work alike.
std::unique_ptr<drivers::Driver> make_driver(std::shared_ptr<const executor::Host> host, Options options);

}  // namespace steppe::raw_exec
