#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "drivers/api/driver.h"
#include "drivers/executor/host.h"
#include "drivers/isolate/identity.h"

namespace steppe::exec {

struct Options {
  std::map<std::string, std::string> chroot_env;   // empty: Nomad's default list, or nothing where task_root is set
  std::string task_root;                           // an image that tasks have as their root (isolate::RootSources::image)
  std::string default_pid_mode = "private", default_ipc_mode = "private";
  std::vector<std::string> allow_caps;             // empty: the default set
  std::string denied_host_uids, denied_host_gids;
  isolate::Mutations mutations;                    // tests only

  // From the agent's plugin block.
  static Result<Options> parse(const drivers::ConfigMap& config);
};

// Runs commands in a root, namespaces, cgroup, capabilities and system call filter of their own (see isolate/). Needs
// root; elsewhere its fingerprint says why it is not there.
std::unique_ptr<drivers::Driver> make_driver(std::shared_ptr<const executor::Host> host, Options options);

}  // namespace steppe::exec
