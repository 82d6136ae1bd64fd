#pragma once

#include "agent/client/server_link.h"
#include "agent/endpoint/caller.h"

namespace steppe::client {

// ServerLink through the method table: in process, or over RPC when the caller does that. `caller` and `home`, the
// client's loop, outlive it.
class EndpointLink final : public ServerLink {
 public:
  EndpointLink(endpoint::Caller& caller, io::Loop& home, std::string region);

  io::Task<Result<Registered>> register_node(std::shared_ptr<const schema::Node> node, io::Deadline deadline) override;
  io::Task<Result<Registered>> update_status(std::string node_id, std::string secret, std::string status,
                                             io::Deadline deadline) override;
  io::Task<Result<AllocIndexes>> get_client_allocs(std::string node_id, std::string secret, uint64_t min_index,
                                                   io::Deadline deadline) override;
  io::Task<Result<std::vector<std::unique_ptr<schema::Allocation>>>> get_allocs(std::string secret,
                                                                                std::vector<std::string> ids,
                                                                                io::Deadline deadline) override;
  io::Task<Result<>> update_allocs(std::string node_id, std::string secret,
                                   std::vector<std::unique_ptr<schema::Allocation>> allocs, io::Deadline deadline) override;

 private:
  endpoint::CallContext context(io::Deadline deadline, const std::string& secret) const;

  endpoint::Caller& caller_;
  io::Loop& home_;
  std::string region_;
};

}  // namespace steppe::client
