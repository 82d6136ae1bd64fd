#include "agent/client/endpoint_link.h"

#include "agent/schema/alloc.pb.h"
#include "agent/schema/node.pb.h"
#include "agent/schema/rpc.pb.h"

namespace steppe::client {
namespace {

constexpr Duration kLongestQuery = std::chrono::minutes(5);

// The servers answer an unknown node with a text only.
Error translate(const endpoint::Failure& failure) {
  if (failure.message().find("node not found") != std::string::npos) return Error(Code::kNotFound, failure.message());
  return failure;
}

}  // namespace

EndpointLink::EndpointLink(endpoint::Caller& caller, io::Loop& home, std::string region)
    : caller_(caller), home_(home), region_(std::move(region)) {}

endpoint::CallContext EndpointLink::context(io::Deadline deadline, const std::string& secret) const {
  return {.home = &home_, .token = Secret(secret), .peer = {.role = endpoint::CertificateRole::kClient}, .deadline = std::move(deadline)};
}

io::Task<Result<ServerLink::Registered>> EndpointLink::register_node(std::shared_ptr<const schema::Node> node, io::Deadline deadline) {
  schema::NodeRegisterRequest request;
  request.mutable_write()->set_region(region_);
  *request.mutable_node() = *node;
  auto reply = co_await caller_.call<endpoint::Method::kNodeRegister>(request, context(std::move(deadline), node->secret_id()));
  if (!reply.ok()) co_return translate(reply.error());
  co_return Registered{Duration((*reply)->heartbeat_ttl())};
}

io::Task<Result<ServerLink::Registered>> EndpointLink::update_status(std::string node_id, std::string secret, std::string status,
                                                                     io::Deadline deadline) {
  schema::NodeUpdateStatusRequest request;
  request.mutable_write()->set_region(region_);
  request.set_node_id(node_id);
  request.set_secret_id(secret);
  request.set_status(status);
  auto reply = co_await caller_.call<endpoint::Method::kNodeUpdateStatus>(request, context(std::move(deadline), secret));
  if (!reply.ok()) co_return translate(reply.error());
  co_return Registered{Duration((*reply)->heartbeat_ttl())};
}

io::Task<Result<ServerLink::AllocIndexes>> EndpointLink::get_client_allocs(std::string node_id, std::string secret,
                                                                           uint64_t min_index, io::Deadline deadline) {
  schema::NodeSpecificRequest request;
  request.mutable_query()->set_region(region_);
  request.mutable_query()->set_min_query_index(min_index);
  request.mutable_query()->set_max_query_time_ns(kLongestQuery.count());
  request.set_node_id(node_id);
  request.set_secret_id(secret);
  auto reply = co_await caller_.call<endpoint::Method::kNodeGetClientAllocs>(request, context(std::move(deadline), secret));
  if (!reply.ok()) co_return translate(reply.error());
  AllocIndexes out;
  out.index = (*reply)->meta().index();
  for (const auto& [id, index] : (*reply)->allocs()) out.allocs[id] = index;
  co_return out;
}

io::Task<Result<std::vector<std::unique_ptr<schema::Allocation>>>> EndpointLink::get_allocs(std::string secret,
                                                                                            std::vector<std::string> ids,
                                                                                            io::Deadline deadline) {
  schema::AllocsGetRequest request;
  request.mutable_query()->set_region(region_);
  request.set_secret_id(secret);
  for (std::string& id : ids) request.add_alloc_ids(std::move(id));
  auto reply = co_await caller_.call<endpoint::Method::kAllocGetAllocs>(request, context(std::move(deadline), secret));
  if (!reply.ok()) co_return translate(reply.error());
  std::vector<std::unique_ptr<schema::Allocation>> out;
  for (schema::Allocation& alloc : *(*reply)->mutable_allocs()) {
    out.push_back(std::make_unique<schema::Allocation>(std::move(alloc)));
  }
  co_return out;
}

io::Task<Result<>> EndpointLink::update_allocs(std::string node_id, std::string secret,
                                               std::vector<std::unique_ptr<schema::Allocation>> allocs, io::Deadline deadline) {
  schema::AllocUpdateRequest request;
  request.mutable_write()->set_region(region_);
  request.set_node_id(node_id);
  request.set_secret_id(secret);
  for (auto& alloc : allocs) *request.add_alloc() = std::move(*alloc);
  auto reply = co_await caller_.call<endpoint::Method::kNodeUpdateAlloc>(request, context(std::move(deadline), secret));
  if (!reply.ok()) co_return translate(reply.error());
  co_return Result<>();
}

}  // namespace steppe::client
