#pragma once

#include "agent/endpoint/dispatcher.h"
#include "agent/main/client_role.h"
#include "agent/main/server_role.h"
#include "agent/main/settings.h"

namespace steppe::agent {

// The level that the configuration, read again, asks for.
Result<log::Level> reload_log_level(const Settings& settings);

// What the agent says about itself, and the parser of job files that the API offers. Server loop.
class AgentEndpoint {
 public:
  // Roles that the agent does not have are null. All outlive it.
  AgentEndpoint(const Settings& settings, io::Loop& loop, ServerRole* server, ClientRole* client)
      : settings_(settings), loop_(loop), server_(server), client_(client) {}
  void add_methods(endpoint::Dispatcher& dispatcher);

 private:
  using Call = endpoint::Call;
  io::Task<endpoint::Outcome<>> self(const schema::AgentRequest& request, const Call& call, schema::AgentReply& reply);
  io::Task<endpoint::Outcome<>> health(const schema::AgentRequest& request, const Call& call, schema::AgentReply& reply);
  io::Task<endpoint::Outcome<>> parse(const schema::JobsParseRequest& request, const Call& call, schema::SingleJobReply& reply);

  const Settings& settings_;
  io::Loop& loop_;
  ServerRole* server_;
  ClientRole* client_;
};

}  // namespace steppe::agent
