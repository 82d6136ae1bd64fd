#pragma once

#include <functional>
#include <memory>

#include "agent/endpoint/dispatcher.h"
#include "agent/raft/node.h"
#include "agent/server/server.h"
#include "agent/telemetry/registry.h"
#include "init/base/log.h"
#include "init/io/disk.h"

namespace steppe::agent {

// The server of an agent: consensus, state and leader duties, tied together. Server loop only.
class ServerRole {
 public:
  // `directory` is the node's own (data_dir/server/raft). What is handed in outlives the role.
  ServerRole(io::Loop& loop, Rng& rng, log::Logger logger, telemetry::Registry& metrics, io::Directory& directory, server::Settings settings);
  ~ServerRole();

  void add_methods(endpoint::Dispatcher& dispatcher);
  // Recovers the log and the state. Errors say what is wrong with the directory and what to do.
  io::Task<Result<>> start();
  io::Task<void> stop();

  bool leading() const;
  raft::NodeMetrics metrics() const;
  // Called on the loop when this server cannot go on: a disk error, a damaged state.
  std::function<void(const Error&)> on_failure;

 private:
  class Machine;
  class Proposals;
  class NoPeers;

  void lead(const raft::Leadership& leadership);
  io::Task<void> follow_leadership();

  log::Logger logger_;
  std::unique_ptr<server::Server> server_;
  std::unique_ptr<Machine> machine_;
  std::unique_ptr<NoPeers> transport_;
  std::unique_ptr<raft::Node> node_;
  std::unique_ptr<Proposals> proposals_;
  io::Scope scope_;
  io::Event changed_;
  bool wanted_ = false;       // raft says that we lead
  bool established_ = false;  // leader duties run
};

}  // namespace steppe::agent
