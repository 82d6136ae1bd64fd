#pragma once

#include <memory>

#include "agent/endpoint/dispatcher.h"
#include "agent/server/core.h"

namespace steppe::server {

// The server's parts put together. All members on the loop's thread.
//
//   construct -> set_proposer -> apply()... (recovery) -> establish() <-> revoke() -> stop()
//
// Methods may be called from the start: reads answer from what is applied, writes fail until there is a proposer that leads.
class Server {
 public:
  // What is handed in outlives the server.
  Server(io::Loop& loop, Rng& rng, log::Logger log, telemetry::Registry& metrics, Settings settings);
  ~Server();

  // Registers every method that servers answer.
  void add_methods(endpoint::Dispatcher& dispatcher);
  void set_proposer(Proposer* proposer);

  // A committed entry, in log order. An error: this server must stop.
  Result<> apply(uint64_t index, ByteView entry);
  // The log's snapshots are read from it and installed into it.
  state::Store& store();
  uint64_t applied_index() const;

  // Leadership with everything before it applied, and its end.
  void establish();
  io::Task<void> revoke();
  // Who leads, when it is not us; empty: nobody known.
  void set_leader(std::string rpc_address);

  // Ends everything that runs. Required before the destructor.
  io::Task<void> stop();

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace steppe::server
