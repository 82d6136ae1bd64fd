#include <algorithm>

#include "agent/schema/node.pb.h"
#include "agent/schema/rpc.pb.h"
#include "agent/server/node_endpoint.h"
#include "agent/server/query.h"
#include "agent/server/stubs.h"

namespace steppe::server {

using endpoint::Outcome;
using state::Snapshot;
using state::Table;
using state::WatchKey;
using Keys = std::vector<WatchKey>;

io::Task<Outcome<>> NodeEndpoint::client_allocs(const schema::NodeSpecificRequest& request, const Call& call, schema::NodeClientAllocsReply& reply) {
  auto look = [&](const Snapshot& snapshot, Keys& keys) -> Outcome<uint64_t> {
    reply.clear_allocs();
    STEPPE_TRY(const state::NodeView node, node_of_request(snapshot, request.node_id(), request.secret_id()));
    keys = {WatchKey::allocs_of_node(node.id())};
    uint64_t index = 0;
    for (const state::AllocView& alloc : snapshot.allocs_by_node(node.id())) {
      (*reply.mutable_allocs())[alloc.id().text()] = alloc.alloc_modify_index();
      index = std::max(index, alloc.modify_index());
    }
    return reply.allocs().empty() ? snapshot.table_index(Table::kAllocs) : index;
  };
  co_return co_await answer(core_, request.query(), call, reply.mutable_meta(), look);
}

io::Task<Outcome<>> NodeEndpoint::get_node(const schema::NodeSpecificRequest& request, const Call& call, schema::SingleNodeReply& reply) {
  auto look = [&](const Snapshot& snapshot, Keys& keys) -> Outcome<uint64_t> {
    STEPPE_TRY(const Uuid id, parse_id("node", request.node_id()));
    keys = {WatchKey::row(Table::kNodes, id)};
    reply.clear_node();
    const auto node = snapshot.node(NodeId(id));
    if (!node) return snapshot.table_index(Table::kNodes);
    *reply.mutable_node() = node->decode();
    show_node(reply.mutable_node());
    return node->modify_index();
  };
  co_return co_await answer(core_, request.query(), call, reply.mutable_meta(), look);
}

io::Task<Outcome<>> NodeEndpoint::list(const schema::NodeListRequest& request, const Call& call, schema::NodeListReply& reply) {
  auto look = [&](const Snapshot& snapshot, Keys& keys) -> Outcome<uint64_t> {
    keys = {WatchKey::whole(Table::kNodes)};
    reply.clear_nodes();
    STEPPE_TRY(const IdPrefix prefix, IdPrefix::parse(request.query().prefix()));
    STEPPE_TRY(Page page, Page::open(request.query()));
    const auto visit = [&](const state::NodeView& node) {
      if (!prefix.matches(node.id())) return page.reverse() || prefix.hex.empty();
      if (page.take(node.id().text())) node_stub(node.decode(), request.resources(), request.os(), reply.add_nodes());
      return !page.done();
    };
    const NodeId from = page.reverse() ? NodeId() : NodeId(prefix.first());
    snapshot.each_node(from, page.reverse() ? state::Order::kReverse : state::Order::kForward, visit);
    reply.mutable_meta()->set_next_token(page.next_token());
    return snapshot.table_index(Table::kNodes);
  };
  co_return co_await answer(core_, request.query(), call, reply.mutable_meta(), look);
}

io::Task<Outcome<>> NodeEndpoint::allocs(const schema::NodeSpecificRequest& request, const Call& call, schema::NodeAllocsReply& reply) {
  auto look = [&](const Snapshot& snapshot, Keys& keys) -> Outcome<uint64_t> {
    STEPPE_TRY(const Uuid id, parse_id("node", request.node_id()));
    keys = {WatchKey::allocs_of_node(id)};
    reply.clear_allocs();
    uint64_t index = 0;
    for (const state::AllocView& alloc : snapshot.allocs_by_node(NodeId(id))) {
      // Reading a node's allocs asks for read-job in each of their namespaces.
      const bool readable = call.identity().allows(endpoint::Capability::kReadJob, alloc.ns());
      if (!readable) continue;
      *reply.add_allocs() = alloc.decode(state::WithJob::kYes);
      show_alloc(&*reply.mutable_allocs()->rbegin());
      index = std::max(index, alloc.modify_index());
    }
    return reply.allocs().empty() ? snapshot.table_index(Table::kAllocs) : index;
  };
  co_return co_await answer(core_, request.query(), call, reply.mutable_meta(), look);
}

}  // namespace steppe::server
