#pragma once

#include "agent/endpoint/dispatcher.h"
#include "agent/server/core.h"

namespace steppe::server {

// The Deployment.* methods.
class DeploymentEndpoint {
 public:
  explicit DeploymentEndpoint(Core& core) : core_(core) {}
  void add_methods(endpoint::Dispatcher& dispatcher);

 private:
  using Done = io::Task<endpoint::Outcome<>>;
  using Call = endpoint::Call;

  Done list(const schema::DeploymentListRequest& request, const Call& call, schema::DeploymentListReply& reply);
  Done get(const schema::DeploymentSpecificRequest& request, const Call& call, schema::SingleDeploymentReply& reply);
  Done allocations(const schema::DeploymentSpecificRequest& request, const Call& call, schema::DeploymentAllocationsReply& reply);
  Done promote(const schema::DeploymentPromoteRequest& request, const Call& call, schema::DeploymentUpdateReply& reply);
  Done pause(const schema::DeploymentPauseRequest& request, const Call& call, schema::DeploymentUpdateReply& reply);
  Done fail(const schema::DeploymentFailRequest& request, const Call& call, schema::DeploymentUpdateReply& reply);
  Done set_health(const schema::DeploymentAllocHealthRequest& request, const Call& call, schema::DeploymentUpdateReply& reply);

  Core& core_;
};

}  // namespace steppe::server
