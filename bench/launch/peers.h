#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace steppe::bench {

// A place for every contender: the same root directory, the same directories to bind, one seccomp program.
struct Place {
  std::string base;      // a fresh directory
  std::string root;      // the task directory as a root: mount points and the links bin, lib, ...
  std::string programs;  // where launch-floor and steppe-executor are
  std::string filter;    // the seccomp program as the kernel takes it
  std::string program;   // what is launched, as its path in the root; make_place() puts launch-payload at /local/payload
};
Place make_place(const std::string& programs);

// Command lines of the others. What they share with ours: /usr, /etc read-only over the same root, /proc with its
// masks, a /dev of its own, /sys read-only, four writable binds, namespaces for mounts, processes, IPC, host name and
// cgroups, the same system call filter, no new privileges, capabilities cut, no network namespace.
std::vector<std::string> bubblewrap_command(const Place& place, int filter_fd);

// crun as people run it: `crun run` of a bundle. The configuration is what `crun spec` writes, with our command, user,
// binds, capabilities and filter; without a terminal, mqueue and, when `network` is false, the network namespace.
// Returns why not when it cannot be used here.
std::optional<std::string> write_bundle(const Place& place, const std::string& bundle, bool network);
std::vector<std::string> crun_command(const std::string& bundle, int number);

}  // namespace steppe::bench
