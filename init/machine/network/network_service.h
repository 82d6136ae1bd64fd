#pragma once

#include <functional>
#include <string>
#include <vector>

#include "init/base/log.h"
#include "init/io/child.h"
#include "init/io/loop.h"
#include "init/io/scope.h"
#include "init/io/task.h"
#include "init/io/wait.h"
#include "init/machine/network/lease.h"
#include "init/machine/network/network_plan.h"
#include "init/machine/network/settings.h"
#include "init/sys/kernel/beneath.h"

namespace steppe::network {

// A directory with nothing but resolv.conf in it, so that it can be shown to tasks: a file that is replaced could not be.
inline constexpr std::string_view kResolvDirectory = "resolv.conf.d";

// What there is to see of a machine's network.
struct Status {
  struct Link {
    std::string name;
    bool carrier = false;
    std::vector<std::string> addresses;  // "10.0.0.7/24", without link-local ones
    bool operator==(const Link&) const = default;
  };
  std::vector<Link> links;         // without loopback
  std::vector<std::string> gateways;
  bool online() const;             // some link has an address
  bool operator==(const Status&) const = default;
};
Status status_of(const Observed& observed);

// Brings the machine's network to what is wanted and keeps it there: acts on what the kernel reports (a device that appears,
// an address that goes), runs dhcpcd as its child, and writes resolv.conf. A link that cannot be set up is named in the log
// once and tried again when something changes, at the latest after a minute; the others go on.
//
// Runs in the network namespace of its thread. Needs CAP_NET_ADMIN. Loop thread only.
class NetworkService {
 public:
  struct Options {
    std::string dhcp_program = "/usr/sbin/dhcpcd";
    std::string host_name;
    std::function<void(const Status&)> changed;  // called when the status differs from the one before
    std::function<void(const std::vector<Lease>&)> leased;  // called when leases were read; may be the same as before
  };
  // `run` is a directory for resolv.conf, in kResolvDirectory, and dhcpcd.conf; `run_path` is its path for the child.
  NetworkService(io::Loop& loop, io::Processes& processes, const kernel::Beneath& run, std::string run_path, Options options, log::Logger logger);

  // Until `stop`; then dhcpcd is ended, and addresses stay. Errors: when the kernel cannot be asked at all.
  io::Task<Result<>> run(Settings settings, std::stop_token stop);

 private:
  Result<Observed> observe();
  bool act(const std::vector<Action>& actions);
  io::Task<Result<>> serve_dhcp(const std::vector<std::string>& links);
  io::Task<void> watch_dhcp();
  io::Task<void> end_dhcp();
  io::Task<void> read_news();
  io::Task<void> refresh_leases(std::stop_token stop);

  io::Loop& loop_;
  io::Processes& processes_;
  const kernel::Beneath& run_;
  std::string run_path_;
  Options options_;
  log::Logger logger_;
  Settings settings_;
  std::optional<kernel::RouteSocket> kernel_;
  kernel::Fd reports_;
  io::Scope scope_;
  io::Event news_, dhcp_gone_;
  std::unique_ptr<io::Child> dhcp_;
  MonoTime dhcp_not_before_;     // one that keeps ending is not started at once again
  Duration dhcp_pause_{};
  std::string dhcp_config_, resolv_;
  std::vector<std::string> complaints_;  // of the last round, so that each is said once
  Status status_;
};

}  // namespace steppe::network
