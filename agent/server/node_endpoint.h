#pragma once

#include <memory>
#include <string>

#include "agent/endpoint/dispatcher.h"
#include "agent/server/core.h"

namespace steppe::server {

class UpdateBatcher;

// The Node.* methods.
class NodeEndpoint {
 public:
  NodeEndpoint(Core& core, UpdateBatcher& updates) : core_(core), updates_(updates) {}
  void add_methods(endpoint::Dispatcher& dispatcher);

 private:
  using Done = io::Task<endpoint::Outcome<>>;
  using Call = endpoint::Call;

  Done register_node(const schema::NodeRegisterRequest& request, const Call& call, schema::NodeUpdateReply& reply);
  Done update_status(const schema::NodeUpdateStatusRequest& request, const Call& call, schema::NodeUpdateReply& reply);
  Done update_alloc(const schema::AllocUpdateRequest& request, const Call& call, schema::GenericReply& reply);
  Done client_allocs(const schema::NodeSpecificRequest& request, const Call& call, schema::NodeClientAllocsReply& reply);
  Done deregister(const schema::NodeDeregisterRequest& request, const Call& call, schema::NodeUpdateReply& reply);
  Done evaluate(const schema::NodeEvaluateRequest& request, const Call& call, schema::NodeUpdateReply& reply);
  Done drain(const schema::NodeUpdateDrainRequest& request, const Call& call, schema::NodeDrainReply& reply);
  Done eligibility(const schema::NodeUpdateEligibilityRequest& request, const Call& call, schema::NodeUpdateReply& reply);
  // node_reads.cc
  Done get_node(const schema::NodeSpecificRequest& request, const Call& call, schema::SingleNodeReply& reply);
  Done list(const schema::NodeListRequest& request, const Call& call, schema::NodeListReply& reply);
  Done allocs(const schema::NodeSpecificRequest& request, const Call& call, schema::NodeAllocsReply& reply);

  Done make_pool(const std::string& pool);
  Done answer_update(NodeId node, bool matters, uint64_t index, schema::NodeUpdateReply& reply);

  Core& core_;
  UpdateBatcher& updates_;
};

// kDenied unless `secret` is the node's. An unknown node is 500 "node not found", which makes the client register again.
endpoint::Outcome<state::NodeView> node_of_request(const state::Snapshot& snapshot, std::string_view node_id, const std::string& secret);

}  // namespace steppe::server
