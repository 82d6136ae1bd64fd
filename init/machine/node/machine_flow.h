#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "init/base/log.h"
#include "init/io/child.h"
#include "init/io/epoll_loop.h"
#include "init/io/scope.h"
#include "init/machine/network/network_service.h"
#include "init/machine/node/configure.h"
#include "init/machine/node/console_line.h"
#include "init/machine/node/parent_lines.h"
#include "init/machine/node/remote_documents.h"
#include "init/sys/kernel/beneath.h"

namespace steppe::node {

// Where a machine's programs and files are.
struct MachinePaths {
  std::string run = "/run/steppe", root = "/", agent = "/usr/bin/steppe", dhcp = "/usr/sbin/dhcpcd";
  std::string device_kind;         // network::Settings::device_kind
  std::string port = "4646";       // of maintenance mode
};

// What `steppe-node machine` does, from the first look at the machine's sources to SIGTERM:
//
//   state        what happens                                   -> state
//   looking      the sources at hand say enough, and what they link to was asked for (kLookLimit at most)   -> configured
//   looking      they do not, or the agent refuses its block and nothing else says enough                  -> waiting
//   waiting      a document came over the API, or a link answered, and that is enough                      -> configured
//   configured   the agent's files are there, and PID 1 may start it                                       -> (until SIGTERM)
//
// The network is kept from the start, by what is known of it so far. While it waits, /usr/bin/steppe maintenance answers on the
// network, the consoles take an address, links are asked again every minute, and PID 1 starts no agent (X_STEPPE_HOLD=1). A broken
// source is said, with its place, and left out. Loop thread only.
class MachineFlow {
 public:
  MachineFlow(const MachinePaths& paths, io::EpollLoop& loop, io::Processes& processes, const kernel::Beneath& run, log::Logger logger);

  // Until `asked` to stop. An error when the network cannot be served at all.
  io::Task<Result<>> run(std::stop_token asked);

 private:
  io::Task<Result<>> keep_network(std::stop_token stop);
  io::Task<void> network_root(std::stop_token stop);
  io::Task<void> be_ready_anyway();
  io::Task<void> tell_lines();
  io::Task<void> serve_maintenance(std::stop_token stop);
  io::Task<void> read_maintenance(int fd, std::stop_token stop);
  io::Task<void> keep_asking(std::stop_token stop);
  io::Task<bool> look();
  io::Task<void> ask_links(MonoTime until, std::stop_token stop);
  io::Task<bool> agent_takes_it();
  io::Task<void> wait_for_configuration(std::stop_token stop);

  Configuration read_all(bool agent_ok);
  void use(const Configuration& found);
  void keep_time_servers();
  void want_network(network::Settings settings);
  void network_changed(const network::Status& status);
  std::string console_said(Result<ConsoleLine> line);
  void show_maintenance();
  void say_once(const std::string& fault);
  Result<> write_agent_files(const machine::MachineConfig& config, bool agent_ok);
  void say_ready();

  const MachinePaths& paths_;
  io::EpollLoop& loop_;
  io::Processes& processes_;
  const kernel::Beneath& run_;
  log::Logger logger_;
  io::Scope scope_;
  ParentLines parent_;
  io::Event online_, news_, network_over_;
  std::stop_source over_;  // asked from outside, or the network cannot be served
  network::Status status_;
  network::Settings wanted_network_;
  std::stop_source network_restart_;
  Result<> network_result_;
  std::vector<network::Lease> leases_;
  machine::Time time_;
  std::optional<ConsoleLine> typed_;
  std::optional<RemoteDocuments> remote_;
  std::string link_fault_;
  std::vector<std::string> faults_;
  std::set<std::string> said_;
  std::vector<std::string> environment_;  // of what fetches documents
  std::string pin_, code_, servers_, host_name_;
  std::optional<std::string> trust_;  // the bundle as it was written
  bool ready_ = false, waiting_ = false;
};

}  // namespace steppe::node
